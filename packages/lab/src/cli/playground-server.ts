import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";

/** A server that hands out the playground until it is closed. */
export interface PlaygroundServer {
  /** `http://127.0.0.1:…/` */
  readonly address: string;
  close(): Promise<void>;
}

/** Types of the files that there are. */
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".txt": "text/plain; charset=utf-8",
};

/**
 * Serves the files of a directory, not of those below it, to this machine alone.
 * @param port 0: any that is free
 */
export async function servePlayground(directory: string, port: number): Promise<PlaygroundServer> {
  const server = createServer(async ({ url = "/", method }, response) => {
    const [path] = url.split("?");
    const name = path === "/" ? "index.html" : path.slice(1);
    const type = /^[a-z]+(\.[a-z]+)+$/i.test(name) ? TYPES[extname(name)] : undefined;
    const body =
      type === undefined ? undefined : await readFile(join(directory, name)).catch(() => undefined);
    if ((method !== "GET" && method !== "HEAD") || body === undefined || type === undefined) {
      response.writeHead(404, { "content-type": "text/plain" }).end("not found\n");
      return;
    }
    response.writeHead(200, {
      "content-type": type,
      "content-length": body.byteLength,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
    response.end(method === "HEAD" ? undefined : body);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  return {
    address: `http://127.0.0.1:${bound}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
