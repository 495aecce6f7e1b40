import { createRequire } from "node:module";
import { type Browser, chromium, type Page } from "playwright-core";

const AXE = createRequire(import.meta.url).resolve("axe-core");

/** How a page is looked at. */
export interface Look {
  readonly scheme: "light" | "dark";
  /** Pixels. */
  readonly width: number;
  /** Default true. */
  readonly scripts?: boolean;
}

/** A page that is open, and what it has said or asked for so far. */
export interface OpenPage {
  readonly page: Page;
  /** Console messages, errors nobody caught, and requests for anything but files. */
  readonly noise: readonly string[];
}

/** A headless Chromium without network; closed by the caller. */
export function launch(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"],
  });
}

/** Opens an address in a context of its own. Tests may add scripts, whatever the page's own policy is. */
export async function openPage(browser: Browser, address: string, look: Look): Promise<OpenPage> {
  const context = await browser.newContext({
    viewport: { width: look.width, height: 900 },
    colorScheme: look.scheme,
    javaScriptEnabled: look.scripts ?? true,
  });
  const page = await context.newPage();
  const noise: string[] = [];
  page.on("console", (message) => noise.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => noise.push(String(error)));
  page.on("dialog", (dialog) => {
    noise.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!request.url().startsWith("file:")) noise.push(`request: ${request.url()}`);
  });
  await page.goto(address);
  return { page, noise };
}

/** What axe-core finds wrong with a page as it stands, one line for each kind. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  // Not into the page's own world, whose policy admits its scripts alone.
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId: contextId } = await session.send("Page.createIsolatedWorld", {
    frameId: frameTree.frame.id,
  });
  const evaluate = async (expression: string): Promise<unknown> => {
    const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
      expression,
      contextId,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails !== undefined)
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  const { source } = (await import(AXE)).default as { source: string };
  await evaluate(`${source}; undefined`);
  const found = await evaluate(
    "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes[0].html))",
  );
  return found as string[];
}
