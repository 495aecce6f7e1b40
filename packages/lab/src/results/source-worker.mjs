// A worker that runs the sources: tsx loads TypeScript in the main thread alone unless it is asked again.
import { register } from "tsx/esm/api";

register();
const { default: run } = await import("./point-worker.ts");
export default run;
