import { type StoreError, StoreTree } from "./store-tree.js";

/** Message types (public/io/xs_wire.h). */
export const StoreMessage = {
  Directory: 1,
  Read: 2,
  GetPerms: 3,
  Watch: 4,
  Unwatch: 5,
  TransactionStart: 6,
  TransactionEnd: 7,
  GetDomainPath: 10,
  Write: 11,
  Mkdir: 12,
  Rm: 13,
  SetPerms: 14,
  WatchEvent: 15,
  Error: 16,
  IsDomainIntroduced: 17,
  ResetWatches: 19,
} as const;

/** Watches that a guest may have (xenstored's quota). */
const MAX_WATCHES = 128;
/** Largest payload of a message (XENSTORE_PAYLOAD_MAX). */
export const MAX_PAYLOAD = 4096;
const NO_BYTES = new Uint8Array(0);

/** One message: a request or what answers it. */
export interface StorePacket {
  readonly type: number;
  readonly requestId: number;
  readonly transaction: number;
  readonly payload: Uint8Array;
}

interface Watch {
  /** As the guest gave it: events name nodes the same way. */
  readonly path: string;
  readonly absolute: string;
  readonly token: string;
}

/** Nodes by path, as plain data. */
export type StoreNodes = readonly (readonly [string, Uint8Array])[];

/** What xenstored knows of a guest, as plain data. */
export interface StoreServerSnapshot {
  readonly nodes: StoreNodes;
  readonly watches: readonly { readonly path: string; readonly absolute: string; readonly token: string }[];
  /** Nodes at the beginning of the transaction that is open. */
  readonly saved: StoreNodes | undefined;
  /** Number of the latest transaction. */
  readonly transaction: number;
}

/**
 * xenstored as one guest meets it: the guest's own subtree, watches, and transactions, of which one may be open at a
 * time. Requests are answered at once and in order.
 */
export class StoreServer {
  readonly tree: StoreTree;
  private readonly domainId: number;
  private watches: Watch[] = [];
  private saved: ReadonlyMap<string, Uint8Array> | undefined;
  private transaction = 0;
  private readonly events: StorePacket[] = [];

  constructor(domainId: number) {
    this.domainId = domainId;
    this.tree = new StoreTree(`/local/domain/${domainId}`);
  }

  /** Answers a request. @returns the answer, then the watch events that it caused */
  handle(request: StorePacket): readonly StorePacket[] {
    const answer = this.answer(request);
    const isError = typeof answer === "string";
    const { requestId, transaction } = request;
    const type = isError ? StoreMessage.Error : request.type;
    const payload = isError ? terminated(answer) : answer;
    const events = isError ? [] : this.events.slice();
    this.events.length = 0;
    return [{ type, requestId, transaction, payload }, ...events];
  }

  /** Between two requests. */
  snapshot(): StoreServerSnapshot {
    return {
      nodes: [...this.tree.snapshot()],
      watches: this.watches.map((watch) => ({ ...watch })),
      saved: this.saved === undefined ? undefined : [...this.saved],
      transaction: this.transaction,
    };
  }

  restore(snapshot: StoreServerSnapshot): void {
    this.tree.restore(new Map(snapshot.nodes));
    this.watches = snapshot.watches.map((watch) => ({ ...watch }));
    this.saved = snapshot.saved === undefined ? undefined : new Map(snapshot.saved);
    this.transaction = snapshot.transaction;
    this.events.length = 0;
  }

  private answer(request: StorePacket): Uint8Array | StoreError {
    const { type, payload } = request;
    if (request.transaction !== 0 && request.transaction !== this.transaction) return "ENOENT";
    const strings = text(payload).split("\0");
    switch (type) {
      case StoreMessage.TransactionStart:
        return this.startTransaction();
      case StoreMessage.TransactionEnd:
        return this.endTransaction(request.transaction, strings[0]);
      case StoreMessage.GetDomainPath:
        return /^[0-9]{1,5}$/.test(strings[0]) ? terminated(`/local/domain/${strings[0]}`) : "EINVAL";
      case StoreMessage.IsDomainIntroduced:
        return terminated(Number(strings[0]) === this.domainId ? "T" : "F");
      case StoreMessage.ResetWatches:
        this.watches = [];
        return OK;
      case StoreMessage.Watch:
      case StoreMessage.Unwatch:
        return strings.length < 3 ? "EINVAL" : this.changeWatch(type, strings[0], strings[1]);
      default:
        return this.onNode(type, payload, strings);
    }
  }

  private onNode(type: number, payload: Uint8Array, strings: readonly string[]): Uint8Array | StoreError {
    const end = payload.indexOf(0);
    if (end < 0) return "EINVAL";
    const { tree } = this;
    const path = tree.resolve(strings[0]);
    if (!path.startsWith("/")) return "EINVAL";
    switch (type) {
      case StoreMessage.Read:
        return tree.read(path);
      case StoreMessage.Directory: {
        const names = tree.list(path);
        if (names === "ENOENT") return names;
        const list = terminated(names.join("\0"));
        if (names.length === 0) return NO_BYTES;
        return list.length > MAX_PAYLOAD ? "E2BIG" : list;
      }
      case StoreMessage.GetPerms:
        return tree.read(path) === "ENOENT" ? "ENOENT" : terminated(`b${this.domainId}`);
    }
    if (!tree.isWritable(path)) return "EACCES";
    switch (type) {
      case StoreMessage.Write:
        return this.changed(path, tree.write(path, payload.subarray(end + 1)));
      case StoreMessage.Mkdir:
        return tree.read(path) === "ENOENT" ? this.changed(path, tree.write(path, NO_BYTES)) : OK;
      case StoreMessage.Rm:
        return this.changed(path, tree.remove(path));
      case StoreMessage.SetPerms:
        return tree.read(path) === "ENOENT" ? "ENOENT" : OK; // one guest: permissions make no difference
      default:
        return "ENOSYS";
    }
  }

  private changed(path: string, error: StoreError | undefined): Uint8Array | StoreError {
    if (error !== undefined) return error;
    for (const watch of this.watches) {
      const { absolute } = watch;
      if (path !== absolute && !path.startsWith(absolute === "/" ? "/" : `${absolute}/`)) continue;
      this.fire(watch, watch.path + path.slice(absolute.length));
    }
    return OK;
  }

  private changeWatch(type: number, path: string, token: string): Uint8Array | StoreError {
    const absolute = this.tree.resolve(path);
    if (!absolute.startsWith("/")) return "EINVAL";
    const at = this.watches.findIndex((each) => each.path === path && each.token === token);
    if (type === StoreMessage.Unwatch) {
      if (at < 0) return "ENOENT";
      this.watches.splice(at, 1);
      return OK;
    }
    if (at >= 0) return "EEXIST";
    if (this.watches.length >= MAX_WATCHES) return "E2BIG";
    const watch = { path, absolute, token };
    this.watches.push(watch);
    this.fire(watch, path);
    return OK;
  }

  private fire(watch: Watch, path: string): void {
    const payload = terminated(`${path}\0${watch.token}`);
    this.events.push({ type: StoreMessage.WatchEvent, requestId: 0, transaction: 0, payload });
  }

  private startTransaction(): Uint8Array | StoreError {
    if (this.saved !== undefined) return "EBUSY";
    this.saved = this.tree.snapshot();
    this.transaction++;
    return terminated(String(this.transaction));
  }

  private endTransaction(transaction: number, verdict: string): Uint8Array | StoreError {
    if (this.saved === undefined || transaction !== this.transaction) return "ENOENT";
    if (verdict !== "T" && verdict !== "F") return "EINVAL";
    if (verdict === "F") this.tree.restore(this.saved);
    this.saved = undefined;
    return OK;
  }
}

function terminated(string: string): Uint8Array {
  return new TextEncoder().encode(`${string}\0`);
}

function text(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** What requests without a result are answered with. */
const OK: Uint8Array = terminated("OK");
