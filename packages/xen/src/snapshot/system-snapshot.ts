import type { ProcessorSnapshot, ResolvedProfile } from "@hyperwalk/cpu";
import { type PhysicalMemory, type PhysicalMemorySnapshot, plainFrame } from "@hyperwalk/mmu";
import { describeAbi } from "../abi/domain-abi.js";
import type { DomainSnapshot } from "../domain.js";
import type { ExitAccountingSnapshot } from "../exit-accounting.js";
import type { FrameAllocatorSnapshot } from "../frame-allocator.js";
import type { ResolvedKvmConfig } from "../host/kvm/kvm-config.js";
import type { KvmThreadsSnapshot } from "../host/kvm/kvm-threads.js";
import type { KvmVcpuSnapshot } from "../host/kvm/kvm-vcpu.js";
import type { KvmVmSnapshot } from "../host/kvm/kvm-vm.js";
import type { TdpMmuSnapshot } from "../host/kvm/tdp-mmu.js";
import type { GhcbRequestsSnapshot } from "../host/svm/ghcb-requests.js";
import type { VcpuControlSnapshot } from "../host/vcpu-control.js";
import type { VcpuLoopSnapshot } from "../host/vcpu-loop.js";
import type { NullSchedulerSnapshot } from "../host/xen/null-scheduler.js";
import type { HypervisorCountersSnapshot } from "../hypervisor-counters.js";
import type { WindowRecorderSnapshot } from "../measured-window.js";
import type { KvmAttributesSnapshot } from "../monitor/kvm-attributes.js";
import type { MemoryRegionsSnapshot } from "../monitor/memory-regions.js";
import type { MsrPolicySnapshot } from "../msr-policy.js";
import type { OperationDescriptor } from "../operations/operation.js";
import type { StagePriceRecord } from "../path-cost/stage-overrides.js";
import type { StagePathCostSnapshot } from "../path-cost/stage-path-cost.js";
import type { ResolvedPeerConfig } from "../peer-config.js";
import type { PeerSnapshot } from "../peer-domain.js";
import type { VcpuSnapshot } from "../vcpu.js";
import type { VlapicSnapshot } from "../vlapic.js";
import type { ResolvedDomainConfig, ResolvedXenConfig } from "../xen-config.js";
import type { StoreTreeSnapshot } from "../xenstore/store-tree.js";
import { checksum } from "./checksum.js";
import { misfit, type PlainData } from "./plain-data.js";
import { SnapshotError } from "./snapshot-error.js";

/** What a system was made with, in words: a snapshot fits a system of the same. */
export type SystemIdentity = Readonly<Record<string, string>>;

/** One vCPU and the physical CPU that it is pinned to. */
export interface PcpuSnapshot {
  readonly cost: StagePathCostSnapshot;
  readonly processor: ProcessorSnapshot;
  readonly control: VcpuControlSnapshot;
  readonly counters: HypervisorCountersSnapshot;
  readonly vcpu: VcpuSnapshot;
  readonly msrs: MsrPolicySnapshot;
  readonly vlapic: VlapicSnapshot;
  readonly host: VcpuLoopSnapshot;
  /** What its hypercall interfaces remember. */
  readonly interfaces: readonly PlainData[];
  /** Undefined where the system keeps none. */
  readonly accounting: ExitAccountingSnapshot | undefined;
  /** Undefined where the guest's registers are not encrypted. */
  readonly requests: GhcbRequestsSnapshot | undefined;
}

/**
 * A whole system between two runs, as plain data: processor, caches, TLBs with their recency, predictor, ledger, touched
 * frames, control structures, domain, devices, timers. Decoded code and the simulator's own shortcuts are not in it,
 * because they change no result.
 */
export interface XenSystemSnapshot {
  readonly identity: SystemIdentity;
  readonly memory: PhysicalMemorySnapshot;
  /** Xen's heap, and the pool of the domain's p2m tables. */
  readonly heap: FrameAllocatorSnapshot;
  readonly p2mPool: FrameAllocatorSnapshot;
  /** The nodes of all domains. */
  readonly xenstore: StoreTreeSnapshot;
  readonly domain: DomainSnapshot;
  /** Further domains, in their order. */
  readonly peers: readonly PeerSnapshot[];
  /** By number. */
  readonly vcpus: readonly PcpuSnapshot[];
  /** Undefined for a domain with one vCPU. */
  readonly scheduler: NullSchedulerSnapshot | undefined;
  /** Of vCPU 0; undefined where the system keeps none. */
  readonly window: WindowRecorderSnapshot | undefined;
  /** What ran with timing off. */
  readonly forwarded: { readonly instructions: number; readonly cycles: number };
}

/** The same of a system with KVM as its host: what is the kernel's and the monitor's besides. */
export interface KvmSystemSnapshot extends Omit<XenSystemSnapshot, "peers" | "vcpus" | "scheduler"> {
  readonly vm: KvmVmSnapshot;
  readonly tdp: TdpMmuSnapshot;
  readonly attributes: KvmAttributesSnapshot;
  readonly regions: MemoryRegionsSnapshot;
  /** By number. */
  readonly vcpus: readonly KvmVcpuSnapshot[];
  /** Undefined for a guest with one vCPU. */
  readonly threads: KvmThreadsSnapshot | undefined;
}

/** Options that decide what a system's state means. */
export interface IdentityOptions {
  readonly profile: ResolvedProfile;
  /** Those that differ, keys in order. */
  readonly prices: StagePriceRecord;
  /** The host's name, and its switches. */
  readonly host: "xen" | "kvm";
  readonly switches: ResolvedXenConfig | ResolvedKvmConfig;
  readonly domain: ResolvedDomainConfig;
  readonly peers: readonly ResolvedPeerConfig[];
  /** Those from outside. */
  readonly operations: readonly OperationDescriptor[];
  readonly accounting: boolean;
  readonly measureWindow: boolean;
}

/** Names each option, files and tables by length and CRC-32. */
export function identify(options: IdentityOptions): SystemIdentity {
  const { profile, prices, host, switches, domain, peers, operations, accounting, measureWindow } = options;
  const { image, modules, abi, doorbell, ...rest } = domain;
  const named: [string, unknown][] = [
    ["machine", `${profile.id} ${digest(new TextEncoder().encode(JSON.stringify(profile)))}`],
    ...(Object.keys(prices).length === 0 ? [] : [["prices", JSON.stringify(prices)] as [string, unknown]]),
    ...Object.entries(switches).map(([key, value]): [string, unknown] => [`${host}.${key}`, value]),
    ["domain.image", digest(image)],
    ["domain.modules", modules.map(({ bytes, cmdline }) => `${digest(bytes)} "${cmdline}"`).join(", ")],
    ["domain.abi", describeAbi(abi)],
    ["domain.doorbell", doorbell === undefined ? undefined : JSON.stringify(doorbell)],
    ...Object.entries(rest).map(([key, value]): [string, unknown] => [`domain.${key}`, value]),
    ["peers", peers.map(({ id, memoryBytes, p2mPage }) => `${id}: ${memoryBytes} ${p2mPage}`).join(", ")],
    ["operations", operations.map((each) => JSON.stringify(each)).join(", ")],
    ["accounting", accounting],
    ["measureWindow", measureWindow],
  ];
  return Object.fromEntries(named.map(([key, value]) => [key, String(value)]));
}

function digest(bytes: Uint8Array): string {
  return `(${bytes.length} bytes, CRC-32 ${checksum(bytes).toString(16).padStart(8, "0")})`;
}

/** Typed arrays whose length depends on what the guest did. */
const VARIABLE: ReadonlySet<string> = new Set([
  "vcpus[].cost.textSeen",
  "vcpus[].processor.ledger.nodePhase",
  "vcpus[].processor.ledger.nodeParent",
  "vcpus[].processor.ledger.cells",
  "vm.memslots.slots[].dirtyBitmap",
  "domain.console.output.bytes",
  "domain.console.serial.bytes",
  "domain.console.debugPort.bytes",
  "xenstore.nodes[][]",
  "domain.store.request",
  "domain.store.waiting",
  "peers[].domain.console.output.bytes",
  "peers[].domain.console.serial.bytes",
  "peers[].domain.console.debugPort.bytes",
  "peers[].domain.store.request",
  "peers[].domain.store.waiting",
]);

/**
 * Checks everything about a snapshot that can be checked before anything is changed.
 * @param own a snapshot of the system that it is to be restored in
 * @throws SnapshotError `MISMATCH` for another system's, `CORRUPT` for what is no snapshot
 */
export function checkSnapshot<S extends XenSystemSnapshot | KvmSystemSnapshot>(
  snapshot: unknown,
  own: S,
  memory: PhysicalMemory,
): asserts snapshot is S {
  const { identity, memory: frames, ...state } = record(snapshot);
  checkIdentity(record(identity), own.identity);
  const { identity: _identity, memory: _memory, ...pattern } = own;
  const wrong =
    misfit(state, pattern, "", VARIABLE) ??
    checkCount("vCPUs", state.vcpus, own.vcpus.length) ??
    checkCount("peers", state.peers ?? [], "peers" in own ? own.peers.length : 0) ??
    checkMemory(record(frames), memory);
  if (wrong !== undefined) throw new SnapshotError("CORRUPT", `not a snapshot of a system: ${wrong}`);
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null)
    throw new SnapshotError("CORRUPT", "not a snapshot of a system: a part is missing");
  return value as Readonly<Record<string, unknown>>;
}

function checkIdentity(identity: Readonly<Record<string, unknown>>, own: SystemIdentity): void {
  for (const key of new Set([...Object.keys(own), ...Object.keys(identity)]))
    if (identity[key] !== own[key])
      throw new SnapshotError(
        "MISMATCH",
        `the snapshot is of another system: ${key} was ${identity[key]} and is ${own[key]}`,
      );
}

function checkCount(what: string, items: unknown, wanted: number): string | undefined {
  const count = Array.isArray(items) ? items.length : 0;
  return count === wanted ? undefined : `${count} ${what} instead of ${wanted}`;
}

function checkMemory(
  snapshot: Readonly<Record<string, unknown>>,
  memory: PhysicalMemory,
): string | undefined {
  const { frames, bytes, views } = snapshot;
  if (!Array.isArray(frames) || !(bytes instanceof Uint8Array)) return "memory has no frames";
  if (bytes.length !== frames.length * 4096)
    return `memory has ${bytes.length} bytes for ${frames.length} frames`;
  if (new Set(frames).size !== frames.length) return "memory names a frame twice";
  const stray = frames.find(
    (frame) => typeof frame !== "number" || !Number.isInteger(frame) || !memory.isRam(frame),
  );
  return stray === undefined
    ? checkViews(views, frames, memory)
    : `memory has frame ${stray}, which is not RAM`;
}

/** Each view is one of a frame that is there, by a name that an encryption key gives it. */
function checkViews(views: unknown, frames: readonly unknown[], memory: PhysicalMemory): string | undefined {
  if (!Array.isArray(views)) return "memory has no views";
  const known = new Set(frames);
  const seen = new Set<unknown>();
  for (const view of views) {
    const [frame, name] = Array.isArray(view) ? view : [];
    const fits = Number.isInteger(name) && name < 2 ** 40 && name !== frame && plainFrame(name) === frame;
    if (!memory.encryptsMemory || !fits || !known.has(frame) || seen.has(frame))
      return `memory has view ${String(name)} of frame ${String(frame)}, which it cannot have`;
    seen.add(frame);
  }
  return undefined;
}
