import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { writeDomainNodes } from "../src/xenstore/domain-nodes.ts";
import { StoreRing } from "../src/xenstore/store-ring.ts";
import { StoreMessage, StoreServer } from "../src/xenstore/store-server.ts";
import { Xenstore } from "../src/xenstore/xenstore.ts";

const { Directory, Read, Watch, Unwatch, Write, Mkdir, Rm, WatchEvent } = StoreMessage;
const { DirectoryPart, GetPerms, IsDomainIntroduced, ResetWatches, SetPerms } = StoreMessage;
const { TransactionStart, TransactionEnd, GetDomainPath, Error: Failed } = StoreMessage;

/** A guest's end of the rings, and the server behind them. */
class Guest {
  readonly page = new Uint8Array(4096);
  readonly server: StoreServer;
  readonly ring: StoreRing;
  readonly view = new DataView(this.page.buffer);
  private nextId = 1;
  private received = new Uint8Array(0);

  constructor(store = new Xenstore(), id = 7) {
    this.server = new StoreServer(id, store);
    writeDomainNodes(store.tree, {
      id,
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
    this.ring.onOutput = () => this.notified++;
  }

  /** Times that it was notified of what it had not asked for. */
  notified = 0;

  /** Starts a transaction. @returns its number */
  begin(): number {
    return Number(this.ask(TransactionStart, "\0")[0][1].slice(0, -1));
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

  answers(): readonly (readonly [number, string])[] {
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
    [Read, "/nothing\0", "EACCES"],
    [Read, "two\0arguments\0", "EINVAL"],
    [Write, "name\0v", "EACCES"],
    [Write, "new\0v", "EACCES"],
    [Mkdir, "cpu/9\0", "EACCES"],
    [Rm, "/local/domain/7\0", "EACCES"],
    [Rm, "gone/deep\0", "EACCES"],
    [Rm, "data/gone/deep\0", "ENOENT"],
    [Watch, "x\0", "EINVAL"],
    [Watch, "@somethingElse\0t\0", "EINVAL"],
    [SetPerms, "data\0", "EINVAL"],
    [SetPerms, "data\0x7\0", "EINVAL"],
    [SetPerms, "data\0n0\0", "EPERM"],
    [SetPerms, "name\0n7\0", "EACCES"],
    [DirectoryPart, "data\0", "EINVAL"],
    [IsDomainIntroduced, "7\0", "EACCES"],
    [TransactionEnd, "T\0", "ENOENT"],
    [TransactionEnd, "X\0", "EINVAL"],
    [Unwatch, "x\0t\0", "ENOENT"],
    [99, "x\0", "ENOSYS"],
    [Write, `data/big\0${"v".repeat(2049)}`, "ENOSPC"],
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

  it("shows nobody what a transaction does until it ends well", () => {
    const guest = new Guest();
    const id = guest.begin();
    expect(guest.ask(Write, "data/t\0new", id)).toEqual([[Write, "OK\0"]]);
    expect(guest.ask(Read, "data/t\0", id)).toEqual([[Read, "new"]]);
    expect(guest.ask(Directory, "data\0", id)).toEqual([[Directory, "t\0"]]);
    expect(guest.ask(Read, "data/t\0")).toEqual([[Failed, "ENOENT\0"]]);
    expect(guest.ask(TransactionEnd, "T\0", id)).toEqual([[TransactionEnd, "OK\0"]]);
    expect(guest.ask(Read, "data/t\0")).toEqual([[Read, "new"]]);
    expect(guest.ask(TransactionEnd, "T\0", id)).toEqual([[Failed, "ENOENT\0"]]);
  });

  it.each([
    ["a node that was read", Read, "data/x\0", Write, "data/x\0other"],
    ["a node that was not there", Read, "data/y\0", Write, "data/y\0other"],
    ["a list that was read", Directory, "data\0", Mkdir, "data/y\0"],
    ["a node that was written", Write, "data/x\0mine", Rm, "data/x\0"],
    ["a neighbour's coming", Mkdir, "data/z\0", Mkdir, "data/y\0"],
  ])("answers EAGAIN when %s has changed, and does nothing", (_, inside, first, outside, second) => {
    const guest = new Guest();
    guest.ask(Write, "data/x\0old");
    const id = guest.begin();
    guest.ask(inside, first, id);
    guest.ask(Write, "data/w/v\0lost", id);
    guest.ask(outside, second);
    expect(guest.ask(TransactionEnd, "T\0", id)).toEqual([[Failed, "EAGAIN\0"]]);
    expect(guest.ask(Read, "data/w/v\0")).toEqual([[Failed, "ENOENT\0"]]);
    const again = guest.begin();
    guest.ask(inside, first, again);
    expect(guest.ask(TransactionEnd, "T\0", again)).toEqual([[TransactionEnd, "OK\0"]]);
  });

  it("has ten transactions at a time, each with a view of its own", () => {
    const guest = new Guest();
    const ids = Array.from({ length: 10 }, () => guest.begin());
    expect(new Set(ids).size).toBe(10);
    expect(guest.ask(TransactionStart, "\0")).toEqual([[Failed, "ENOSPC\0"]]);
    expect(guest.ask(TransactionStart, "\0", ids[0])).toEqual([[Failed, "EBUSY\0"]]);
    guest.ask(Read, "data\0", ids[1]);
    guest.ask(Write, "data/a\x01", ids[0]);
    expect(guest.ask(Read, "data/a\0", ids[1])).toEqual([[Failed, "ENOENT\0"]]);
    guest.ask(ResetWatches, "\0");
    expect(guest.ask(Read, "data/a\0", ids[0])).toEqual([[Failed, "ENOENT\0"]]);
  });

  it("tells watches of a transaction at its end, once for each node", () => {
    const guest = new Guest();
    guest.ask(Watch, "data\0tok\0");
    const id = guest.begin();
    for (const value of ["1", "2"]) guest.ask(Write, `data/a\0${value}`, id);
    guest.ask(Rm, "data/a\0", guest.begin());
    expect(guest.ask(TransactionEnd, "T\0", id)).toEqual([
      [TransactionEnd, "OK\0"],
      [WatchEvent, "data/a\0tok\0"],
    ]);
  });

  it("tells watches on what is below a removed node, and only those", () => {
    const guest = new Guest();
    guest.ask(Write, "data/a/b/c\0v");
    guest.ask(Watch, "data/a/b\0below\0");
    guest.ask(Watch, "/local/domain/7/data/a\0node\0");
    guest.ask(Watch, "data/a/b/c/d\0never\0");
    const events = guest.ask(Rm, "data/a\0").slice(1);
    expect([...events].sort()).toEqual([
      [WatchEvent, "/local/domain/7/data/a\0node\0"],
      [WatchEvent, "data/a/b\0below\0"],
    ]);
  });

  it("keeps domains apart, but for what permissions open, and tells the other at once", () => {
    const store = new Xenstore();
    const [a, b] = [new Guest(store, 7), new Guest(store, 8)];
    a.ask(Write, "data/shared\0v1");
    const path = "/local/domain/7/data/shared";
    expect(b.ask(Read, `${path}\0`)).toEqual([[Failed, "EACCES\0"]]);
    expect(b.ask(Watch, `${path}\0tok\0`).length).toBe(2);
    a.ask(Write, "data/shared\0v2");
    expect([b.notified, b.answers()]).toEqual([0, []]);
    expect(a.ask(GetPerms, "data/shared\0")).toEqual([[GetPerms, "n7\0"]]);
    expect(a.ask(SetPerms, "data/shared\0n7\0r8\0")).toEqual([[SetPerms, "OK\0"]]);
    expect([b.notified, b.answers()]).toEqual([1, [[WatchEvent, `${path}\0tok\0`]]]);
    expect(b.ask(Read, `${path}\0`)).toEqual([[Read, "v2"]]);
    expect(b.ask(Write, `${path}\0mine`)).toEqual([[Failed, "EACCES\0"]]);
    a.ask(SetPerms, "data/shared\0n7\0b8\0");
    b.answers();
    expect(b.ask(Write, `${path}\0mine`).at(0)).toEqual([Write, "OK\0"]);
    expect(b.ask(Mkdir, `${path}/below\0`).at(0)).toEqual([Mkdir, "OK\0"]);
    expect(b.ask(GetPerms, `${path}/below\0`)).toEqual([[GetPerms, "n8\0b8\0"]]);
    expect(a.ask(Read, "data/shared/below\0")).toEqual([[Failed, "EACCES\0"]]);
    a.ask(SetPerms, "data/shared\0n7\0");
    expect(b.ask(Read, `${path}\0`).at(-1)).toEqual([Failed, "EACCES\0"]);
  });

  it("has special nodes, of whose events only dom0 hears more than the first", () => {
    const store = new Xenstore();
    const guest = new Guest(store);
    const dom0 = new StoreServer(0, store);
    const heard: string[] = [];
    dom0.onEvent = ({ payload }) => heard.push(new TextDecoder().decode(payload));
    const payload = new TextEncoder().encode("@releaseDomain\0tok\0");
    expect(dom0.handle({ type: Watch, requestId: 1, transaction: 0, payload }).length).toBe(2);
    expect(guest.ask(Watch, "@releaseDomain\0tok\0").length).toBe(2);
    store.fire("@releaseDomain", false);
    expect([heard, guest.answers()]).toEqual([["@releaseDomain\0tok\0"], []]);
    const asked = { type: IsDomainIntroduced, requestId: 2, transaction: 0 };
    const introduced = (id: string) =>
      new TextDecoder().decode(
        dom0.handle({ ...asked, payload: new TextEncoder().encode(`${id}\0`) })[0].payload,
      );
    expect([introduced("7"), introduced("9")]).toEqual(["T\0", "F\0"]);
  });

  it("gives long lists in parts, with the generation of what they are of", () => {
    const guest = new Guest();
    const names = Array.from({ length: 60 }, (_, i) => `${"n".repeat(90)}${String(i).padStart(2, "0")}`);
    for (const name of names) guest.ask(Mkdir, `data/${name}\0`);
    expect(guest.ask(Directory, "data\0")).toEqual([[Failed, "E2BIG\0"]]);
    let list = "";
    const generations = new Set<string>();
    for (;;) {
      const [[type, reply]] = guest.ask(DirectoryPart, `data\0${list.length}\0`);
      expect(type).toBe(DirectoryPart);
      const end = reply.indexOf("\0");
      generations.add(reply.slice(0, end));
      const part = reply.slice(end + 1);
      list += part;
      if (part.endsWith("\0\0") || part === "\0") break;
    }
    expect(list.split("\0").filter((name) => name !== "")).toEqual(names);
    expect(generations.size).toBe(1);
    guest.ask(Mkdir, "data/more\0");
    expect(generations.has(guest.ask(DirectoryPart, "data\0" + "0\0")[0][1].split("\0")[0])).toBe(false);
  });

  it("is as it was after a snapshot, transactions and watches among it", () => {
    const store = new Xenstore();
    const guest = new Guest(store);
    guest.ask(Watch, "data\0tok\0");
    const id = guest.begin();
    guest.ask(Write, "data/a\0v", id);
    const [nodes, server] = [store.snapshot(), guest.server.snapshot()];
    const other = new Xenstore();
    const again = new Guest(other);
    other.restore(nodes);
    again.server.restore(server);
    expect(other.snapshot()).toEqual(nodes);
    expect(again.server.snapshot()).toEqual(server);
    expect(again.ask(TransactionEnd, "T\0", id).slice(1)).toEqual([[WatchEvent, "data/a\0tok\0"]]);
    expect(() => other.restore({ ...nodes, nodes: [["/", new Uint8Array(0), ["x"], 1]] })).toThrow(
      RangeError,
    );
    expect(() => other.restore({ ...nodes, nodes: [] })).toThrow(RangeError);
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
    expect(indices.view.getUint32(2072, true)).toBe(2); // XENSTORE_ERROR_RINGIDX
    const length = new Guest();
    for (const byte of [2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 16, 0, 0]) length.put(byte);
    length.ring.serve();
    expect([length.ring.broken, length.view.getUint32(2072, true)]).toEqual([true, 3]); // XENSTORE_ERROR_PROTO
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
