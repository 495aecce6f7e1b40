import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Output } from "./output.js";
import { type PlaygroundServer, servePlayground } from "./playground-server.js";
import { UsageError } from "./usage-error.js";

/** What the command line of `playground` says, parsed. */
export interface PlaygroundOptions {
  /** 0: any that is free. */
  readonly port: number;
}

/**
 * `hyperwalk playground`: serves the page to this machine until it is interrupted.
 * @param directory where the page's files are
 * @param end when it stops; default when the process is asked to
 * @returns the exit code
 */
export async function playgroundCommand(
  { port }: PlaygroundOptions,
  output: Output,
  directory: string = builtPlayground(),
  end: Promise<void> = interruption(),
): Promise<number> {
  if (!existsSync(join(directory, "index.html")))
    throw new UsageError(
      "command playground",
      `${directory} does not have it`,
      "in a checkout, after `npm run playground`",
    );
  const server = await serve(directory, port);
  output.out(`${server.address}\n`);
  await end;
  await server.close();
  return 0;
}

async function serve(directory: string, port: number): Promise<PlaygroundServer> {
  try {
    return await servePlayground(directory, port);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EADDRINUSE" && code !== "EACCES") throw error;
    throw new UsageError(
      "option --port",
      `${port} cannot be had (${code})`,
      "a port that is free, or 0 for any",
    );
  }
}

/** Beside the built command line; from source, where the build leaves it. */
function builtPlayground(): string {
  const here = typeof __filename === "string" ? __filename : fileURLToPath(import.meta.url);
  const beside = join(dirname(here), "playground");
  return existsSync(beside) ? beside : join(dirname(here), "../../dist/playground");
}

function interruption(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGINT", () => resolve());
    process.once("SIGTERM", () => resolve());
  });
}
