import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** The path of a Chromium: `CHROME_PATH`, or one on `PATH`. */
export function findChromium(): string | undefined {
  const directories = (process.env.PATH ?? "").split(delimiter);
  const candidates = NAMES.flatMap((name) => directories.map((directory) => join(directory, name)));
  return [process.env.CHROME_PATH ?? "", ...candidates].find((path) => path !== "" && existsSync(path));
}

/**
 * Loads a page in a headless Chromium with a profile of its own and no network, and returns its document after the
 * load event, as HTML.
 */
export function dumpDom(chromium: string, html: string): string {
  const directory = mkdtempSync(join(tmpdir(), "hyperwalk-browser-"));
  try {
    const page = join(directory, "page.html");
    writeFileSync(page, html);
    const { status, stdout, stderr, error } = spawnSync(
      chromium,
      [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        `--user-data-dir=${join(directory, "profile")}`,
        "--dump-dom",
        pathToFileURL(page).href,
      ],
      { encoding: "utf8", timeout: 50_000, maxBuffer: 2 ** 28 },
    );
    if (status !== 0) throw new Error(`${chromium}: exit ${status ?? error}\n${stderr}`);
    return stdout;
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}
