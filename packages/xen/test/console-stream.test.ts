import { describe, expect, it } from "vitest";
import { ConsoleStream } from "../src/console-stream.ts";

/** What is shown of text from a debug port (`d`) and from a console (`c`), in this order. */
function shown(...parts: readonly (readonly ["d" | "c", string])[]): string {
  let out = "";
  const stream = new ConsoleStream((bytes) => {
    out += new TextDecoder().decode(bytes);
  });
  for (const [source, text] of parts) {
    const bytes = new TextEncoder().encode(text);
    if (source === "c") stream.take("ring", bytes);
    else for (const byte of bytes) stream.take("debug-port", Uint8Array.of(byte));
  }
  stream.flush();
  return out;
}

describe("ConsoleStream", () => {
  it("shows a debug port alone as it comes", () => {
    expect(shown(["d", "a\n"], ["d", "b\n"])).toBe("a\nb\n");
  });

  it("shows once what is printed to a debug port and then to a console, returns or not", () => {
    expect(shown(["d", "a\n"], ["c", "a\r\n"], ["d", "b\r\n"], ["c", "b\r\n"])).toBe("a\nb\r\n");
  });

  it("keeps debug text that the console does not repeat, in its place", () => {
    expect(shown(["d", "early\n"], ["c", "x\n"], ["d", "aside\n"], ["c", "y\n"], ["d", "late\n"])).toBe(
      "early\nx\naside\ny\nlate\n",
    );
  });

  it("never silences a console that repeats itself", () => {
    expect(shown(["c", "a\n"], ["c", "a\n"])).toBe("a\na\n");
  });

  it("follows a console that takes a message in pieces", () => {
    expect(shown(["c", "-\n"], ["d", "long message\n"], ["c", "long "], ["c", "message\n"])).toBe(
      "-\nlong message\n",
    );
  });

  it("does not keep debug text without end", () => {
    const text = "x".repeat(10_000);
    expect(shown(["c", "-"], ["d", text])).toBe(`-${text}`);
  });
});
