import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { playgroundCommand } from "../src/cli/playground-command.js";
import { servePlayground } from "../src/cli/playground-server.js";
import { runProgram } from "../src/cli/program.js";
import { plain } from "../src/report/paint.js";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "hyperwalk-page-"));
  writeFileSync(join(directory, "index.html"), "<!doctype html>");
  writeFileSync(join(directory, "page.js"), "void 0;");
  writeFileSync(join(directory, "secret"), "not of the page");
});
afterAll(() => rmSync(directory, { recursive: true }));

function captured() {
  const texts = { out: "", err: "" };
  const output = {
    paint: plain,
    out: (text: string) => {
      texts.out += text;
    },
    err: (text: string) => {
      texts.err += text;
    },
  };
  return { texts, output };
}

/** Status and type of a path as it is written; `fetch` would tidy it up. */
function ask(address: string, path: string, method = "GET"): Promise<[number, string, string]> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(address);
    const asked = request({ hostname, port, path, method }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
      });
      response.on("end", () =>
        resolve([response.statusCode ?? 0, response.headers["content-type"] ?? "", body]),
      );
    });
    asked.on("error", reject);
    asked.end();
  });
}

describe("the playground's server", () => {
  it("hands out the page's files, and nothing else", async () => {
    const server = await servePlayground(directory, 0);
    expect(server.address).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    expect(await ask(server.address, "/")).toEqual([200, "text/html; charset=utf-8", "<!doctype html>"]);
    expect(await ask(server.address, "/page.js?v=1")).toEqual([
      200,
      "text/javascript; charset=utf-8",
      "void 0;",
    ]);
    expect(await ask(server.address, "/page.js", "HEAD")).toEqual([
      200,
      "text/javascript; charset=utf-8",
      "",
    ]);
    for (const path of ["/secret", "/../index.html", "/..%2findex.html", "//page.js", "/none.js", "/%", "*"])
      expect((await ask(server.address, path))[0], path).toBe(404);
    expect((await ask(server.address, "/page.js", "POST"))[0]).toBe(404);
    await server.close();
  });

  it("runs until it is told to end", async () => {
    const { texts, output } = captured();
    let stop = () => {};
    const end = new Promise<void>((resolve) => {
      stop = resolve;
    });
    const running = playgroundCommand({ port: 0 }, output, directory, end);
    await expect.poll(() => texts.out).toMatch(/^http:/);
    const [status] = await ask(texts.out.trim(), "/");
    expect(status).toBe(200);
    stop();
    expect(await running).toBe(0);
  });

  it("says what is wrong with a port, and with a directory that has no page", async () => {
    const { output } = captured();
    const server = await servePlayground(directory, 0);
    const port = Number(new URL(server.address).port);
    const never = Promise.resolve();
    await expect(playgroundCommand({ port }, output, directory, never)).rejects.toThrow(
      `option --port: ${port} cannot be had (EADDRINUSE); allowed: a port that is free, or 0 for any`,
    );
    await server.close();
    await expect(playgroundCommand({ port: 0 }, output, tmpdir(), never)).rejects.toThrow(
      "after `npm run playground`",
    );
  });

  it("refuses ports that are none", async () => {
    const { texts, output } = captured();
    expect(await runProgram(["playground", "--port", "70000"], output)).toBe(2);
    expect(texts.err).toContain(
      'option --port: "70000" is not valid; allowed: a whole number from 0 to 65535',
    );
  });
});
