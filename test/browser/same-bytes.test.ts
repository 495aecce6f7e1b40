import { describe, expect, it } from "vitest";
import { bundle, directoryOf } from "../../scripts/bundle.js";
import { dumpDom, findChromium } from "./chromium.js";
import { comparisonsJson } from "./comparisons.js";

const chromium = findChromium();

// What the page runs. It leaves text in an attribute, as base64, so that HTML changes nothing.
const PAGE = `
import { comparisonsJson } from "./comparisons.js";
const leave = (name, text) => {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  document.body.setAttribute(name, btoa(binary));
};
try {
  leave("data-result", comparisonsJson());
} catch (error) {
  leave("data-error", String(error?.stack ?? error));
}
`;

describe("in a browser", () => {
  it.skipIf(chromium === undefined)(
    chromium === undefined
      ? "skipped: no Chromium on PATH or in CHROME_PATH"
      : "comparisons give the same bytes as in Node",
    async () => {
      const script = await bundle({
        contents: PAGE,
        resolveDir: directoryOf(import.meta.url),
        platform: "browser",
      });
      const html = `<!doctype html><meta charset="utf-8"><body><script>${script.replaceAll("</script", "<\\/script")}</script></body>`;
      const dom = dumpDom(chromium ?? "", html);
      const left = (name: string): string | undefined => {
        const text = new RegExp(` ${name}="([^"]*)"`).exec(dom)?.[1];
        return text === undefined ? undefined : Buffer.from(text, "base64").toString("utf8");
      };
      expect(left("data-error")).toBeUndefined();
      expect(left("data-result")).toBe(comparisonsJson());
    },
  );
});
