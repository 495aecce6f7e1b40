import { name, version } from "../package.json";

/** What produced a document. */
export const TOOL: { readonly name: string; readonly version: string } = { name, version };
