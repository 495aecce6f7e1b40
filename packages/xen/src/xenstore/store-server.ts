import {
  childrenOf,
  OWNED_BY_DOM0,
  parentOf,
  permits,
  type StoreNode,
  type StorePermission,
  type StoreView,
} from "./store-node.js";
import { StoreTransaction, type StoreTransactionSnapshot } from "./store-transaction.js";
import { parsePermission, type StoreTree } from "./store-tree.js";
import { SPECIAL_NODES, Xenstore } from "./xenstore.js";

/** Message types (public/io/xs_wire.h). */
export const StoreMessage = {
  Control: 0,
  Directory: 1,
  Read: 2,
  GetPerms: 3,
  Watch: 4,
  Unwatch: 5,
  TransactionStart: 6,
  TransactionEnd: 7,
  Introduce: 8,
  Release: 9,
  GetDomainPath: 10,
  Write: 11,
  Mkdir: 12,
  Rm: 13,
  SetPerms: 14,
  WatchEvent: 15,
  Error: 16,
  IsDomainIntroduced: 17,
  Resume: 18,
  SetTarget: 19,
  ResetWatches: 21,
  DirectoryPart: 22,
} as const;

/** Why a request was refused, in the words that the protocol sends (public/io/xs_wire.h). */
export type StoreError =
  | "EINVAL"
  | "ENOENT"
  | "EACCES"
  | "EAGAIN"
  | "E2BIG"
  | "ENOSPC"
  | "ENOSYS"
  | "EEXIST"
  | "EBUSY"
  | "EPERM";

const { Directory, DirectoryPart, GetPerms, Mkdir, Read, Rm, SetPerms, Unwatch, Watch, Write } = StoreMessage;
/** For dom0 only. */
const PRIVILEGED: readonly number[] = [
  StoreMessage.Control,
  StoreMessage.Introduce,
  StoreMessage.Release,
  StoreMessage.IsDomainIntroduced,
  StoreMessage.Resume,
  StoreMessage.SetTarget,
];
/** xenstored's quotas of a domain other than dom0. */
const MAX_WATCHES = 128;
const MAX_TRANSACTIONS = 10;
const MAX_NODES = 1000;
const MAX_VALUE = 2048;
const MAX_PERMISSIONS = 5;
const MAX_PATH = 3072;
const MAX_RELATIVE_PATH = 2048;
const PATH = /^(\/|(\/[A-Za-z0-9\-_@]+)+)$/;
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

/** A watch, as plain data too. */
export interface StoreWatch {
  /** As the domain gave it: events name nodes the same way. */
  readonly path: string;
  readonly absolute: string;
  readonly token: string;
}

/** What xenstored knows of a domain's connection, as plain data. */
export interface StoreServerSnapshot {
  readonly watches: readonly StoreWatch[];
  /** Those that are open. */
  readonly transactions: readonly StoreTransactionSnapshot[];
  /** Number of the next transaction. */
  readonly nextTransaction: number;
}

/**
 * xenstored as one domain meets it: the nodes of all domains, as far as it may see and change them, watches, and
 * transactions. Requests are answered at once and in order.
 */
export class StoreServer {
  readonly domainId: number;
  /** What other domains' requests cause: told outside of {@link handle}. */
  onEvent: ((packet: StorePacket) => void) | undefined;
  private readonly store: Xenstore;
  private readonly home: string;
  private watches: StoreWatch[] = [];
  private transactions: StoreTransaction[] = [];
  private nextTransaction = 1;
  private handling = false;
  private readonly events: StorePacket[] = [];

  /** @param store of the host; default one of its own */
  constructor(domainId: number, store: Xenstore = new Xenstore()) {
    this.domainId = domainId;
    this.store = store;
    this.home = `/local/domain/${domainId}`;
    store.connect(this);
  }

  /** All nodes, without permissions: for the toolstack. */
  get tree(): StoreTree {
    return this.store.tree;
  }

  /** Answers a request. @returns the answer, then the watch events that it caused for this domain */
  handle(request: StorePacket): readonly StorePacket[] {
    this.handling = true;
    const answer = this.answer(request);
    this.handling = false;
    const isError = typeof answer === "string";
    const { requestId, transaction } = request;
    const type = isError ? StoreMessage.Error : request.type;
    const payload = isError ? terminated(answer) : answer;
    const events = this.events.slice();
    this.events.length = 0;
    return [{ type, requestId, transaction, payload }, ...events];
  }

  /** Sends an event to each watch that a node concerns. @param subtree those on nodes above are told as well */
  fire(path: string, subtree: boolean): void {
    for (const watch of this.watches) {
      const { absolute } = watch;
      const isBelow = subtree && path.startsWith(absolute === "/" ? "/" : `${absolute}/`);
      if (path === absolute || isBelow) this.send(watch, watch.path + path.slice(absolute.length));
    }
  }

  /** Between two requests. */
  snapshot(): StoreServerSnapshot {
    return {
      watches: this.watches.map((watch) => ({ ...watch })),
      transactions: this.transactions.map((transaction) => transaction.snapshot()),
      nextTransaction: this.nextTransaction,
    };
  }

  /** After the store itself. */
  restore(snapshot: StoreServerSnapshot): void {
    this.watches = snapshot.watches.map((watch) => ({ ...watch }));
    this.transactions = snapshot.transactions.map((saved) => {
      const transaction = new StoreTransaction(saved.id, this.store.tree);
      transaction.restore(saved);
      return transaction;
    });
    this.nextTransaction = snapshot.nextTransaction;
    this.events.length = 0;
  }

  private answer(request: StorePacket): Uint8Array | StoreError {
    const { type, payload } = request;
    const strings = text(payload).split("\0");
    if (PRIVILEGED.includes(type) && this.domainId !== 0) return "EACCES";
    if (type === Watch || type === Unwatch)
      return strings.length === 3 && strings[2] === ""
        ? this.changeWatch(type, strings[0], strings[1])
        : "EINVAL";
    const transaction = this.transactions.find(({ id }) => id === request.transaction);
    if (request.transaction !== 0 && transaction === undefined) return "ENOENT";
    switch (type) {
      case StoreMessage.TransactionStart:
        return this.startTransaction(transaction);
      case StoreMessage.TransactionEnd:
        return this.endTransaction(transaction, strings);
      case StoreMessage.GetDomainPath:
        return /^[0-9]{1,5}$/.test(strings[0]) ? terminated(`/local/domain/${strings[0]}`) : "EINVAL";
      case StoreMessage.IsDomainIntroduced:
        return terminated(this.store.isIntroduced(Number(strings[0])) ? "T" : "F");
      case StoreMessage.ResetWatches:
        this.watches = [];
        this.transactions = [];
        return OK;
      case Directory:
      case DirectoryPart:
      case Read:
      case GetPerms:
      case Write:
      case Mkdir:
      case Rm:
      case SetPerms:
        return this.onNode(type, payload, strings, transaction);
      default:
        return "ENOSYS";
    }
  }

  private onNode(
    type: number,
    payload: Uint8Array,
    strings: readonly string[],
    transaction: StoreTransaction | undefined,
  ): Uint8Array | StoreError {
    const end = payload.indexOf(0);
    if (end < 0) return "EINVAL";
    const path = this.resolve(strings[0]);
    if (path === undefined) return "EINVAL";
    const view: StoreView = transaction ?? this.store.tree;
    const isAlone = type !== Write && type !== SetPerms && type !== DirectoryPart;
    if (isAlone && end !== payload.length - 1) return "EINVAL"; // onearg
    switch (type) {
      case Write:
        return this.write(view, path, payload.subarray(end + 1));
      case Mkdir:
        return this.makeNode(view, path);
      case Rm:
        return this.remove(view, path);
      case SetPerms:
        return this.setPermissions(view, path, strings.slice(1, -1));
    }
    const node = this.find(view, path, "read");
    if (typeof node === "string") return node;
    switch (type) {
      case Read:
        return node.value;
      case GetPerms:
        return terminated(node.permissions.map(({ domid, access }) => `${access}${domid}`).join("\0"));
      case Directory: {
        const list = listOf(view, path);
        return list.length > MAX_PAYLOAD ? "E2BIG" : list;
      }
      default:
        return strings.length === 3 ? this.directoryPart(view, path, node, strings[1]) : "EINVAL";
    }
  }

  /** As much of a node's children as fits into a message, from an offset in their list on, after its generation. */
  private directoryPart(view: StoreView, path: string, node: StoreNode, from: string): Uint8Array {
    const list = listOf(view, path);
    const generation = terminated(String(node.generation));
    const offset = Math.max(0, Number.parseInt(from, 10) || 0);
    if (offset >= list.length) return concatenated(generation, Uint8Array.of(0));
    const room = MAX_PAYLOAD - generation.length - 1;
    let end = Math.min(list.length, offset + room);
    while (end > offset && list[end - 1] !== 0) end--;
    const part = list.subarray(offset, end);
    return concatenated(generation, part, end === list.length ? Uint8Array.of(0) : NO_BYTES);
  }

  private write(view: StoreView, path: string, value: Uint8Array): Uint8Array | StoreError {
    const node = this.find(view, path, "write");
    if (typeof node === "string" && node !== "ENOENT") return node;
    if (this.domainId !== 0 && value.length > MAX_VALUE) return "ENOSPC";
    if (typeof node !== "string") view.set(path, value, node.permissions);
    else {
      const error = this.create(view, path, value);
      if (error !== undefined) return error;
    }
    return this.changed(view, path, true);
  }

  private makeNode(view: StoreView, path: string): Uint8Array | StoreError {
    const node = this.find(view, path, "write");
    if (typeof node !== "string") return OK;
    if (node !== "ENOENT") return node;
    return this.create(view, path, NO_BYTES) ?? this.changed(view, path, true);
  }

  private remove(view: StoreView, path: string): Uint8Array | StoreError {
    const node = this.find(view, path, "write");
    if (node === "ENOENT") {
      const parent = parentOf(path);
      return parent !== undefined && view.get(parent) !== undefined ? OK : "ENOENT";
    }
    if (typeof node === "string") return node;
    if (path === "/") return "EINVAL";
    const below = [...view.paths()].filter((each) => each.startsWith(`${path}/`));
    const gone = [...below, path].map((each) => ({ each, before: view.get(each)?.permissions ?? [] }));
    for (const { each } of gone) view.delete(each);
    // Those below are told to watches on themselves alone.
    for (const { each, before } of gone) this.changed(view, each, each === path, before);
    return OK;
  }

  private setPermissions(view: StoreView, path: string, texts: readonly string[]): Uint8Array | StoreError {
    if (texts.length === 0) return "EINVAL";
    if (this.domainId !== 0 && texts.length > MAX_PERMISSIONS) return "ENOSPC";
    const permissions: StorePermission[] = [];
    for (const each of texts) {
      const permission = parsePermission(each);
      if (permission === undefined) return "EINVAL";
      permissions.push(permission);
    }
    const node = this.find(view, path, "own");
    if (typeof node === "string") return node;
    if (this.domainId !== 0 && permissions[0].domid !== node.permissions[0].domid) return "EPERM";
    view.set(path, node.value, permissions);
    return this.changed(view, path, true, node.permissions);
  }

  /** A node that the domain may use so. What it may not know about, it may not have (`errno_from_parents`). */
  private find(view: StoreView, path: string, wanted: "read" | "write" | "own"): StoreNode | StoreError {
    const { domainId } = this;
    const node = view.get(path);
    if (node !== undefined && permits(node.permissions, domainId, wanted)) return node;
    const error: StoreError = node === undefined ? "ENOENT" : "EACCES";
    for (let at = parentOf(path); at !== undefined; at = parentOf(at)) {
      const parent = view.get(at);
      if (parent !== undefined) return permits(parent.permissions, domainId, wanted) ? error : "EACCES";
    }
    return error;
  }

  /** A node with the parents that are missing: it belongs to who made it, and is else as its parent. */
  private create(view: StoreView, path: string, value: Uint8Array): StoreError | undefined {
    const { domainId } = this;
    const missing: string[] = [];
    let at: string | undefined = path;
    for (; at !== undefined && view.get(at) === undefined; at = parentOf(at)) missing.unshift(at);
    if (domainId !== 0 && this.store.tree.ownedBy(domainId) + missing.length > MAX_NODES) return "ENOSPC";
    const inherited = (at === undefined ? undefined : view.get(at))?.permissions ?? OWNED_BY_DOM0;
    const [owner, ...others] = inherited;
    const permissions = domainId === 0 ? inherited : [{ domid: domainId, access: owner.access }, ...others];
    for (const each of missing) view.set(each, each === path ? value : NO_BYTES, permissions);
    return undefined;
  }

  /** Has watches told, at once or at the transaction's end. */
  private changed(
    view: StoreView,
    path: string,
    subtree: boolean,
    before: readonly StorePermission[] = [],
  ): Uint8Array {
    if (view instanceof StoreTransaction) view.queue(path, subtree);
    else this.store.fire(path, subtree, before);
    return OK;
  }

  private changeWatch(type: number, path: string, token: string): Uint8Array | StoreError {
    const absolute = path.startsWith("@") ? specialNode(path) : this.resolve(path);
    if (absolute === undefined) return "EINVAL";
    const at = this.watches.findIndex((each) => each.absolute === absolute && each.token === token);
    if (type === Unwatch) {
      if (at < 0) return "ENOENT";
      this.watches.splice(at, 1);
      return OK;
    }
    if (at >= 0) return "EEXIST";
    if (this.domainId !== 0 && this.watches.length >= MAX_WATCHES) return "ENOSPC";
    const watch = { path, absolute, token };
    this.watches.push(watch);
    this.send(watch, path);
    return OK;
  }

  private send(watch: StoreWatch, path: string): void {
    const payload = terminated(`${path}\0${watch.token}`);
    const packet = { type: StoreMessage.WatchEvent, requestId: 0, transaction: 0, payload };
    if (this.handling) this.events.push(packet);
    else this.onEvent?.(packet);
  }

  private startTransaction(within: StoreTransaction | undefined): Uint8Array | StoreError {
    if (within !== undefined) return "EBUSY";
    if (this.domainId !== 0 && this.transactions.length >= MAX_TRANSACTIONS) return "ENOSPC";
    const transaction = new StoreTransaction(this.nextTransaction++, this.store.tree);
    this.transactions.push(transaction);
    return terminated(String(transaction.id));
  }

  private endTransaction(
    transaction: StoreTransaction | undefined,
    [verdict, ...rest]: readonly string[],
  ): Uint8Array | StoreError {
    if ((verdict !== "T" && verdict !== "F") || rest.length !== 1) return "EINVAL";
    if (transaction === undefined) return "ENOENT";
    this.transactions.splice(this.transactions.indexOf(transaction), 1);
    if (verdict === "F") return OK;
    if (!transaction.commit()) return "EAGAIN";
    for (const [path, subtree] of transaction.events) this.store.fire(path, subtree);
    return OK;
  }

  /** The absolute form of a path, or undefined for one that no node can have. */
  private resolve(path: string): string | undefined {
    const isAbsolute = path.startsWith("/");
    if (!isAbsolute && path.length > MAX_RELATIVE_PATH) return undefined;
    const absolute = isAbsolute ? path : `${this.home}/${path}`;
    return absolute.length <= MAX_PATH && PATH.test(absolute) ? absolute : undefined;
  }
}

function specialNode(path: string): string | undefined {
  return SPECIAL_NODES.includes(path) ? path : undefined;
}

/** Names of a node's children, each with its terminator. */
function listOf(view: StoreView, path: string): Uint8Array {
  const names = childrenOf(view, path);
  return names.length === 0 ? NO_BYTES : terminated(names.join("\0"));
}

function concatenated(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function terminated(string: string): Uint8Array {
  return new TextEncoder().encode(`${string}\0`);
}

function text(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** What requests without a result are answered with. */
const OK: Uint8Array = terminated("OK");
