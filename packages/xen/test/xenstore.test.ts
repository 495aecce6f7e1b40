import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { writeDomainNodes } from "../src/xenstore/domain-nodes.ts";
import { StoreRing } from "../src/xenstore/store-ring.ts";
import { StoreMessage, StoreServer } from "../src/xenstore/store-server.ts";

const { Directory, Read, Watch, Unwatch, Write, Mkdir, Rm, WatchEvent } = StoreMessage;
const { TransactionStart, TransactionEnd, GetDomainPath, Error: Failed } = StoreMessage;

/** A guest's end of the rings, and the server behind them. */
class Guest {
  readonly page = new Uint8Array(4096);
  readonly server = new StoreServer(7);
  readonly ring: StoreRing;
  readonly view = new DataView(this.page.buffer);
  private nextId = 1;
  private received = new Uint8Array(0);

  constructor() {
    writeDomainNodes(this.server.tree, {
      id: 7,
      memoryBytes: 2 ** 26,
      vcpus: 2,
      consoleGfn: 1,
      consolePort: 2,
      storeGfn: 3,
      storePort: 4,
    });
    const memory = {
      readU32: (at: number) => this.view.getUint32(at, true),
      writeU32: (at: number, value: number) => this.view.setUint32(at, value, true),
      readBytes: (at: number, length: number) => this.page.slice(at, at + length),
      writeBytes: (at: number, bytes: Uint8Array) => this.page.set(bytes, at),
    };
    this.ring = new StoreRing(memory, 0, this.server);
  }

  /** Sends a request and returns what came back, as [type, text]. */
  ask(type: number, payload: string, transaction = 0): readonly (readonly [number, string])[] {
    const bytes = new TextEncoder().encode(payload);
    const message = new Uint8Array(16 + bytes.length);
    [type, this.nextId++, transaction, bytes.length].forEach((word, i) => {
      new DataView(message.buffer).setUint32(4 * i, word, true);
    });
    message.set(bytes, 16);
    for (const byte of message) this.put(byte);
    this.ring.serve();
    return this.answers();
  }

  put(byte: number): void {
    const prod = this.view.getUint32(2052, true);
    if ((prod - this.view.getUint32(2048, true)) >>> 0 >= 1024) this.ring.serve();
    this.page[prod % 1024] = byte;
    this.view.setUint32(2052, (prod + 1) >>> 0, true);
  }

  private answers(): readonly (readonly [number, string])[] {
    for (;;) {
      const cons = this.view.getUint32(2056, true);
      const count = (this.view.getUint32(2060, true) - cons) >>> 0;
      if (count === 0) break;
      const more = Uint8Array.from({ length: count }, (_, i) => this.page[1024 + ((cons + i) % 1024)]);
      this.received = Uint8Array.from([...this.received, ...more]);
      this.view.setUint32(2056, (cons + count) >>> 0, true);
      this.ring.serve();
    }
    const found: [number, string][] = [];
    while (this.received.length >= 16) {
      const view = new DataView(this.received.buffer, this.received.byteOffset);
      const length = view.getUint32(12, true);
      found.push([view.getUint32(0, true), new TextDecoder().decode(this.received.slice(16, 16 + length))]);
      this.received = this.received.slice(16 + length);
    }
    return found;
  }
}

describe("xenstore", () => {
  it("answers what a guest reads about itself, by relative and by absolute path", () => {
    const guest = new Guest();
    expect(guest.ask(Read, "domid\0")).toEqual([[Read, "7"]]);
    expect(guest.ask(Read, "/local/domain/7/store/port\0")).toEqual([[Read, "4"]]);
    expect(guest.ask(Directory, "console\0")).toEqual([[Directory, "limit\0port\0ring-ref\0type\0"]]);
    expect(guest.ask(Directory, "cpu\0")).toEqual([[Directory, "0\x001\0"]]);
    expect(guest.ask(Read, "cpu/1/availability\0")).toEqual([[Read, "online"]]);
    expect(guest.ask(GetDomainPath, "3\0")).toEqual([[GetDomainPath, "/local/domain/3\0"]]);
  });

  it.each([
    [Read, "nothing\0", "ENOENT"],
    [Read, "no terminator", "EINVAL"],
    [Read, "bad path!\0", "EINVAL"],
    [Read, "/local//domain\0", "EINVAL"],
    [Write, "/local/domain/0/x\0v", "EACCES"],
    [Write, "/x\0v", "EACCES"],
    [Rm, "/local/domain/7\0", "EINVAL"],
    [Rm, "gone/deep\0", "ENOENT"],
    [Unwatch, "x\0t\0", "ENOENT"],
    [99, "x\0", "ENOSYS"],
    [Write, `data/big\0${"v".repeat(2049)}`, "E2BIG"],
  ])("refuses %i %j with %s", (type, payload, error) => {
    expect(new Guest().ask(type, payload)).toEqual([[Failed, `${error}\0`]]);
  });

  it("keeps what is written, with parents, until it is removed", () => {
    const guest = new Guest();
    expect(guest.ask(Write, "data/a/b\0value")).toEqual([[Write, "OK\0"]]);
    expect(guest.ask(Mkdir, "data/a/c\0")).toEqual([[Mkdir, "OK\0"]]);
    expect(guest.ask(Directory, "data/a\0")).toEqual([[Directory, "b\0c\0"]]);
    expect(guest.ask(Read, "data/a/b\0")).toEqual([[Read, "value"]]);
    expect(guest.ask(Rm, "data/a\0")).toEqual([[Rm, "OK\0"]]);
    expect(guest.ask(Read, "data/a/b\0")).toEqual([[Failed, "ENOENT\0"]]);
  });

  it("tells watches, at once and of every change below, in the guest's own words", () => {
    const guest = new Guest();
    expect(guest.ask(Watch, "data\0tok\0")).toEqual([
      [Watch, "OK\0"],
      [WatchEvent, "data\0tok\0"],
    ]);
    expect(guest.ask(Write, "data/x\0v")).toEqual([
      [Write, "OK\0"],
      [WatchEvent, "data/x\0tok\0"],
    ]);
    expect(guest.ask(Unwatch, "data\0tok\0")).toEqual([[Unwatch, "OK\0"]]);
    expect(guest.ask(Write, "data/x\0v")).toEqual([[Write, "OK\0"]]);
  });

  it("undoes a transaction that is given up", () => {
    const guest = new Guest();
    const [[, id]] = guest.ask(TransactionStart, "\0");
    const transaction = Number(id.slice(0, -1));
    guest.ask(Write, "data/t\0v", transaction);
    expect(guest.ask(TransactionEnd, "F\0", transaction)).toEqual([[TransactionEnd, "OK\0"]]);
    expect(guest.ask(Read, "data/t\0")).toEqual([[Failed, "ENOENT\0"]]);
    expect(guest.ask(Read, "domid\0", transaction + 1)).toEqual([[Failed, "ENOENT\0"]]);
  });

  it("carries messages that are larger than what is left of the ring", () => {
    const guest = new Guest();
    const value = "x".repeat(2000);
    guest.ask(Write, `data/long\0${value}`);
    for (let i = 0; i < 5; i++) expect(guest.ask(Read, "data/long\0")).toEqual([[Read, value]]);
  });

  it("limits what a guest can make it keep", () => {
    const guest = new Guest();
    let last = "";
    for (let i = 0; i < 1100; i++) last = guest.ask(Write, `data/n${i}\0v`)[0][1];
    expect(last).toBe("ENOSPC\0");
  });

  it("serves no longer when the indices or a length make no sense", () => {
    const indices = new Guest();
    indices.view.setUint32(2052, 5000, true);
    expect([indices.ring.serve(), indices.ring.broken]).toEqual([false, true]);
    const length = new Guest();
    for (const byte of [2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 16, 0, 0]) length.put(byte);
    length.ring.serve();
    expect(length.ring.broken).toBe(true);
  });

  it("never throws, whatever is in the ring", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(2000), (bytes, prod) => {
        const guest = new Guest();
        guest.page.set(bytes);
        guest.view.setUint32(2052, prod, true);
        guest.ring.serve();
        guest.ring.serve();
      }),
      { numRuns: 200 },
    );
  });
});
