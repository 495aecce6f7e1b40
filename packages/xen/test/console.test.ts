import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CappedText, Console } from "../src/console.ts";

const OUT_CONS = 3080;
const OUT_PROD = 3084;

/** Guest memory of one ring page at frame 0. */
function ring() {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  const memory = {
    readU32: (at: number) => view.getUint32(at, true),
    writeU32: (at: number, value: number) => view.setUint32(at, value, true),
    readBytes: (at: number, length: number) => {
      if (at + length > 4096) throw new RangeError("outside the page");
      return bytes.slice(at, at + length);
    },
  };
  const put = (text: string) => {
    for (const byte of new TextEncoder().encode(text)) {
      const prod = view.getUint32(OUT_PROD, true);
      bytes[1024 + (prod % 2048)] = byte;
      view.setUint32(OUT_PROD, prod + 1, true);
    }
  };
  return { bytes, view, memory, put };
}

describe("Console", () => {
  it("takes what the guest wrote, across the ring's end and the indices' wrap", () => {
    const { view, memory, put } = ring();
    view.setUint32(OUT_CONS, 0xfffffff0, true);
    view.setUint32(OUT_PROD, 0xfffffff0, true);
    const console = new Console(memory, 0);
    put("grüße ");
    console.drain();
    put("x".repeat(2048));
    console.drain();
    console.drain();
    expect(console.text).toBe(`grüße ${"x".repeat(2048)}`);
    expect(view.getUint32(OUT_CONS, true)).toBe(view.getUint32(OUT_PROD, true));
    expect(console.rejected).toBe(0);
  });

  it("ignores indices that claim more than the ring holds", () => {
    const { view, memory } = ring();
    const console = new Console(memory, 0);
    view.setUint32(OUT_PROD, 2049, true);
    console.drain();
    view.setUint32(OUT_CONS, 5, true);
    view.setUint32(OUT_PROD, 4, true);
    console.drain();
    expect([console.text, console.rejected, view.getUint32(OUT_CONS, true)]).toEqual(["", 2, 5]);
  });

  it("survives any ring, and a ring that is not there", () => {
    const u32 = fc.integer({ min: 0, max: 0xffffffff });
    fc.assert(
      fc.property(u32, u32, (cons, prod) => {
        const { view, memory } = ring();
        view.setUint32(OUT_CONS, cons, true);
        view.setUint32(OUT_PROD, prod, true);
        const console = new Console(memory, 0);
        console.drain();
        expect(console.output.size).toBeLessThanOrEqual(2048);
      }),
    );
    const gone = new Console(
      {
        readU32: () => {
          throw new RangeError("no RAM");
        },
        writeU32: () => {},
        readBytes: () => new Uint8Array(),
      },
      0,
    );
    gone.drain();
    expect(gone.rejected).toBe(1);
  });

  it("keeps port 0xe9 apart and shows it when there is nothing else", () => {
    const { memory, put } = ring();
    const console = new Console(memory, 0);
    for (const byte of new TextEncoder().encode("debug\r\n\x1b")) console.writePort(byte);
    expect(console.text).toBe("debug\n");
    put("ring\n");
    console.drain();
    expect([console.text, console.debugPort.toString()]).toEqual(["ring\n", "debug\n"]);
  });
});

describe("CappedText", () => {
  it("says when it was cut", () => {
    const text = new CappedText(10);
    text.append(new TextEncoder().encode("12345678"));
    expect([text.toString(), text.cut]).toEqual(["12345678", false]);
    text.append(new TextEncoder().encode("9abc"));
    text.appendByte(0x64);
    expect(text.size).toBe(10);
    expect(text.toString()).toBe("123456789a\n[cut: only the first 10 bytes are kept]\n");
  });
});
