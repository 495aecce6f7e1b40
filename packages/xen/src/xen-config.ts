import type { ProcessorProfile } from "@hyperwalk/cpu";
import type { PageSizeName } from "@hyperwalk/mmu";
import type { DomainAbi } from "./abi/domain-abi.js";
import { DOMAIN_ABIS } from "./abi/registry.js";
import { fixedRegions } from "./boot/fixed-layout.js";
import { BOOT_PROTOCOLS, type BootModule, type BootProtocolName } from "./boot/index.js";
import type { ConfidentialKind } from "./confidential.js";
import { checkCreateFlags, DomainCreate } from "./domain-create.js";
import {
  DOORBELL_HANDLERS,
  type DoorbellConfig,
  HYPERCALL_FIXUPS,
  type HypercallFixup,
  type ResolvedDoorbell,
} from "./doorbell-config.js";
import { DEFAULT_MAX_FRAMES } from "./grant-table.js";
import { VIRIDIAN_DEFAULTS, VIRIDIAN_GROUPS, type ViridianGroup } from "./viridian/viridian-group.js";

/** Sequences that clear the branch history. */
export const BHB_SEQUENCES = ["short", "long", "tsx"] as const;
export type BhbSequence = (typeof BHB_SEQUENCES)[number];

/**
 * Hypervisor-wide switches, in the words of Xen's `spec-ctrl=` and `ept=`; `parseSpecCtrl` and `parseEpt` make them of its
 * command line. What is left out follows the processor profile.
 */
export interface XenConfig {
  /** IBPB on every VM exit. */
  readonly ibpbEntry?: boolean | undefined;
  /** Overwrite the return stack on every VM exit. */
  readonly rsbOverwrite?: boolean | undefined;
  /** Write SPEC_CTRL around guest runs. */
  readonly specCtrlWrite?: boolean | undefined;
  /** VERW before every VM entry. */
  readonly verw?: boolean | undefined;
  /** Clear the branch history on every VM exit (Intel: SVM's path has no such sequence). */
  readonly bhbClear?: boolean | undefined;
  /** With which sequence; default "short". "tsx" is the short one on a part without RTM, as in Xen. */
  readonly bhbSeq?: BhbSequence | undefined;
  /** Flush L1D on every VM entry (L1TF; Intel). */
  readonly l1dFlush?: boolean | undefined;
  /** LFENCE after lock operations; default true. */
  readonly lockHarden?: boolean | undefined;
  /**
   * A debug build of Xen (`CONFIG_DEBUG`) in what guests can tell it by: argument registers and multicall entries
   * overwritten after the call, instruction lengths decoded anew on SVM. All else keeps the release build's prices.
   * Default false.
   */
  readonly debugBuild?: boolean | undefined;
  /**
   * Superpages of the p2m may be executed from (`ept=exec-sp`; Intel). Where they may not, the first fetch from one splits it
   * (XSA-304). Never off for a hardware domain.
   */
  readonly execSp?: boolean | undefined;
  /** Log-dirty mode uses the processor's page-modification log (`ept=pml`; Intel). */
  readonly pml?: boolean | undefined;
}

/** How a domain's memory is translated. */
export const PAGINGS = ["hap", "shadow"] as const;
export type PagingName = (typeof PAGINGS)[number];

/** Names of hypercall interfaces in a configuration; `abi/registry.ts` makes them. */
export const HYPERCALL_ABIS = [
  "linear",
  "physaddr",
  "percall",
  "sg-frames",
  "sg-tuples",
  "sg-descriptor",
  "registered",
  "fastabi",
] as const;
export type HypercallAbiName = (typeof HYPERCALL_ABIS)[number];

/** One domain, in the words of its toolstack configuration. */
export interface DomainConfig {
  /** The guest: a PVH, multiboot or plain ELF image. */
  readonly image: Uint8Array;
  /** How the image starts; default what it is marked for, else as firmware (`hvm`). */
  readonly boot?: BootProtocolName | undefined;
  /** Files that the boot loader passes on. */
  readonly modules?: readonly BootModule[] | undefined;
  /** Guest RAM in bytes: a multiple of 4096, at least 1 MiB and at most 1 TiB. */
  readonly memoryBytes: number;
  readonly cmdline?: string | undefined;
  /** Its hypercall interface, by name or as made elsewhere. */
  readonly abi: HypercallAbiName | DomainAbi;
  /**
   * What HVM CPUID leaf EAX bit 7 announces. Given only to say it explicitly: the bit is claimed by physaddr and by
   * FastABI, so it follows from `abi`, and asking for both is refused.
   */
  readonly physaddrAbi?: boolean | undefined;
  readonly fastabi?: boolean | undefined;
  /**
   * The toolstack's creation flags, bits of `DomainCreate`, where they are to be checked as the hypervisor does: -EINVAL
   * for what it refuses, and `physaddr_abi` has to go with the interface of that name. Default: those that follow.
   */
  readonly createFlags?: number | undefined;
  /**
   * Memory encrypted with the guest's own key (AMD SEV), with `sev-es` registers too, with `sev-snp` pages that Xen cannot
   * write to or move as well. Default none of it.
   */
  readonly confidential?: ConfidentialKind | undefined;
  /** Virtual CPUs, each on a processor of its own: 1 to {@link MAX_VCPUS}; default 1. */
  readonly vcpus?: number | undefined;
  /** Largest p2m leaf; default "2m". */
  readonly p2mPage?: PageSizeName | undefined;
  /** Log-dirty mode is on from the beginning; default false. */
  readonly logDirty?: boolean | undefined;
  /** Handlers that `hvm_mmio_internal` asks; default 1 (the local APIC), 5 for a hardware domain. 0 to 16. */
  readonly mmioHandlers?: number | undefined;
  /** Highest port that it may bind, 2 to 131071 (2^17 - 1, which only FIFO event channels reach); default 1023. */
  readonly maxEventChannels?: number | undefined;
  /**
   * shared_info and the grant table are mapped before the guest starts, at regions above its RAM that its memory map names
   * (`fixed_mem_layout` of the FastABI series); default false.
   */
  readonly fixedMemoryLayout?: boolean | undefined;
  /**
   * Hyper-V's interface beside Xen's: `true` for what xl's `viridian = 1` turns on, or groups of it, among which `base`
   * has to be. Xen's CPUID leaves then begin at 0x40000100. Default false.
   */
  readonly viridian?: boolean | readonly ViridianGroup[] | undefined;
  /** Nested paging, or shadow page tables: with one vCPU. Default "hap". */
  readonly paging?: PagingName | undefined;
  /** May write to Xen's console and bind global VIRQs; default false. */
  readonly hardwareDomain?: boolean | undefined;
  /** A device that the guest can notify through a hypercall, a port or a page of registers; with one vCPU. Default none. */
  readonly doorbell?: DoorbellConfig | undefined;
  /** What is done about a hypercall instruction of the other vendor's; default "none", which is what Xen does. */
  readonly hypercallFixup?: HypercallFixup | undefined;
}

/** A configuration that cannot be built. */
export class XenConfigError extends Error {
  readonly code = "XEN_CONFIG";
  /** The offending key. */
  readonly key: string;
  readonly value: unknown;
  /** What is allowed, in words. */
  readonly allowed: string;
  /** What the toolstack got where it was the hypervisor that refused, a negative errno; else 0. */
  readonly errno: number;

  constructor(key: string, value: unknown, allowed: string, errno = 0) {
    super(`${key} = ${String(value)}: allowed is ${allowed}`);
    this.name = "XenConfigError";
    this.key = key;
    this.value = value;
    this.allowed = allowed;
    this.errno = errno;
  }
}

/** Switches with every default decided. */
export type ResolvedXenConfig = { readonly [K in keyof XenConfig]-?: Exclude<XenConfig[K], undefined> };

/** A domain's configuration with every default decided. */
export interface ResolvedDomainConfig {
  readonly image: Uint8Array;
  readonly boot: BootProtocolName | undefined;
  readonly modules: readonly BootModule[];
  readonly memoryBytes: number;
  readonly cmdline: string;
  readonly abi: DomainAbi;
  readonly vcpus: number;
  readonly p2mPage: PageSizeName;
  readonly logDirty: boolean;
  readonly mmioHandlers: number;
  readonly maxEventChannels: number;
  /** Frames of the grant table that the fixed memory layout has room for; undefined without that. */
  readonly fixedLayoutGrantFrames: number | undefined;
  /** Empty: none. */
  readonly viridian: readonly ViridianGroup[];
  readonly paging: PagingName;
  readonly hardwareDomain: boolean;
  readonly confidential: ConfidentialKind | undefined;
  readonly doorbell: ResolvedDoorbell | undefined;
  readonly hypercallFixup: HypercallFixup;
}

const PAGES: readonly string[] = ["4k", "2m", "1g"];
const MIN_MEMORY = 2 ** 20;
const MAX_MEMORY = 2 ** 40;
const MAX_MMIO_HANDLERS = 16;
/** Console and xenstore take one each. */
const MIN_EVENT_CHANNELS = 2;
/** xl's default and the highest port of the FIFO ABI. */
const DEFAULT_EVENT_CHANNELS = 1023;
const MAX_EVENT_CHANNELS = 2 ** 17 - 1;
/** Those whose `vcpu_info` lies in shared_info (XEN_LEGACY_MAX_VCPUS). */
export const MAX_VCPUS = 32;
/** `hvm_mmio_internal` of a PVH hardware domain: local APIC, I/O APIC, MSI-X table, vPCI, MMCFG (estimate). */
const HARDWARE_DOMAIN_HANDLERS = 5;

/** @throws XenConfigError for a switch that is not a boolean */
export function resolveXenConfig(config: XenConfig, profile: ProcessorProfile): ResolvedXenConfig {
  const { defaults } = profile;
  const switches = {
    ibpbEntry: config.ibpbEntry ?? defaults.ibpbEntry,
    rsbOverwrite: config.rsbOverwrite ?? defaults.rsbOverwrite,
    specCtrlWrite: config.specCtrlWrite ?? defaults.specCtrlWrite,
    verw: config.verw ?? defaults.verw,
    bhbClear: config.bhbClear ?? defaults.bhbClear,
    l1dFlush: config.l1dFlush ?? defaults.l1dFlush,
    lockHarden: config.lockHarden ?? true,
    debugBuild: config.debugBuild ?? false,
    execSp: config.execSp ?? defaults.execSp,
    pml: config.pml ?? profile.vendor === "intel",
  };
  const { bhbSeq = "short" } = config;
  if (!BHB_SEQUENCES.includes(bhbSeq))
    throw new XenConfigError("xen.bhbSeq", bhbSeq, BHB_SEQUENCES.join(", "));
  for (const [key, value] of Object.entries(switches))
    if (typeof value !== "boolean") throw new XenConfigError(`xen.${key}`, value, "true or false");
  if (switches.l1dFlush && profile.vendor === "amd")
    throw new XenConfigError("xen.l1dFlush", true, "false on AMD, which has no FLUSH_CMD");
  if (switches.bhbClear && profile.vendor === "amd")
    throw new XenConfigError("xen.bhbClear", true, "false on AMD: Xen's SVM path has no such sequence");
  if (!switches.execSp && profile.vendor === "amd")
    throw new XenConfigError("xen.execSp", false, "true on AMD, which has no EPT");
  if (switches.pml && profile.vendor === "amd")
    throw new XenConfigError("xen.pml", true, "false on AMD, which has no page-modification log");
  return { ...switches, bhbSeq: bhbSeq === "tsx" && !hasRtm(profile) ? "short" : bhbSeq };
}

const LEAF7_RTM = 1 << 11;

function hasRtm({ cpuid }: ProcessorProfile): boolean {
  return ((cpuid.find(([leaf, subleaf]) => leaf === 7 && subleaf === 0)?.[3] ?? 0) & LEAF7_RTM) !== 0;
}

/** @throws XenConfigError for the first key that is wrong */
export function resolveDomainConfig(config: DomainConfig): ResolvedDomainConfig {
  const { memoryBytes, vcpus = 1, p2mPage = "2m", hardwareDomain = false, cmdline = "" } = config;
  const abi = resolveAbi(config.abi);
  checkAnnouncement(config, abi.name);
  checkCreation(config.createFlags, abi.name, config.paging);
  if (
    !Number.isInteger(memoryBytes) ||
    memoryBytes % 4096 !== 0 ||
    memoryBytes < MIN_MEMORY ||
    memoryBytes > MAX_MEMORY
  )
    throw new XenConfigError("domain.memoryBytes", memoryBytes, "a multiple of 4096 from 1 MiB to 1 TiB");
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MAX_VCPUS)
    throw new XenConfigError("domain.vcpus", vcpus, `an integer from 1 to ${MAX_VCPUS}`);
  const { logDirty = false } = config;
  if (typeof logDirty !== "boolean") throw new XenConfigError("domain.logDirty", logDirty, "true or false");
  if (!PAGES.includes(p2mPage)) throw new XenConfigError("domain.p2mPage", p2mPage, PAGES.join(", "));
  const mmioHandlers = config.mmioHandlers ?? (hardwareDomain ? HARDWARE_DOMAIN_HANDLERS : 1);
  if (!Number.isInteger(mmioHandlers) || mmioHandlers < 0 || mmioHandlers > MAX_MMIO_HANDLERS)
    throw new XenConfigError(
      "domain.mmioHandlers",
      mmioHandlers,
      `an integer from 0 to ${MAX_MMIO_HANDLERS}`,
    );
  const { maxEventChannels = DEFAULT_EVENT_CHANNELS } = config;
  if (
    !Number.isInteger(maxEventChannels) ||
    maxEventChannels < MIN_EVENT_CHANNELS ||
    maxEventChannels > MAX_EVENT_CHANNELS
  )
    throw new XenConfigError(
      "domain.maxEventChannels",
      maxEventChannels,
      `an integer from ${MIN_EVENT_CHANNELS} to ${MAX_EVENT_CHANNELS}`,
    );
  if (!(config.image instanceof Uint8Array))
    throw new XenConfigError("domain.image", typeof config.image, "a Uint8Array with a guest image");
  const { image, boot, modules = [] } = config;
  if (boot !== undefined && !BOOT_PROTOCOLS.includes(boot))
    throw new XenConfigError("domain.boot", boot, BOOT_PROTOCOLS.join(", "));
  return {
    image,
    boot,
    modules,
    memoryBytes,
    cmdline,
    abi,
    vcpus,
    p2mPage,
    logDirty,
    mmioHandlers,
    maxEventChannels,
    fixedLayoutGrantFrames: resolveLayout(config),
    viridian: resolveViridian(config.viridian),
    paging: resolvePaging(config),
    hardwareDomain,
    confidential: config.confidential,
    doorbell: resolveDoorbell(config),
    hypercallFixup: resolveFixup(config),
  };
}

/** What a domain is created with by the hypervisor has to be what it is made as here. */
function checkCreation(flags: number | undefined, abi: string, paging: PagingName = "hap"): void {
  if (flags === undefined) return;
  const shown = `0x${flags.toString(16)}`;
  const refused = checkCreateFlags(flags);
  if (refused !== 0)
    throw new XenConfigError(
      "domain.createFlags",
      shown,
      "hvm (1), hap (2), oos_off (8), xs_domain (0x10) and, with hvm alone, physaddr_abi (0x100)",
      refused,
    );
  if ((flags & DomainCreate.Hvm) === 0)
    throw new XenConfigError("domain.createFlags", shown, "with hvm (1): PV domains are not modelled");
  if (((flags & DomainCreate.Hap) !== 0) !== (paging === "hap"))
    throw new XenConfigError(
      "domain.createFlags",
      shown,
      `hap (2) with paging hap alone, which is ${paging}`,
    );
  const physaddr = (flags & DomainCreate.PhysaddrAbi) !== 0;
  if (physaddr !== (abi === "physaddr"))
    throw new XenConfigError(
      "domain.createFlags",
      shown,
      `physaddr_abi (0x100) with abi physaddr alone, which is ${abi}`,
    );
}

function resolvePaging({ paging = "hap", vcpus = 1, confidential, logDirty }: DomainConfig): PagingName {
  if (!PAGINGS.includes(paging)) throw new XenConfigError("domain.paging", paging, PAGINGS.join(", "));
  if (paging === "hap") return paging;
  if (vcpus !== 1) throw new XenConfigError("domain.paging", paging, "hap with more vCPUs than one");
  if (logDirty === true) throw new XenConfigError("domain.paging", paging, "hap in log-dirty mode");
  if (confidential !== undefined)
    throw new XenConfigError(
      "domain.paging",
      paging,
      "hap for an encrypted guest, whose tables Xen cannot read",
    );
  return paging;
}

function resolveDoorbell({
  doorbell,
  vcpus = 1,
  confidential,
  paging = "hap",
}: DomainConfig): ResolvedDoorbell | undefined {
  if (doorbell === undefined) return undefined;
  if (typeof doorbell !== "object" || doorbell === null)
    throw new XenConfigError("domain.doorbell", doorbell, "an object with handler, hypercalls, fastMmio");
  const { handler, hypercalls = true, fastMmio = false } = doorbell;
  if (!DOORBELL_HANDLERS.includes(handler))
    throw new XenConfigError("domain.doorbell.handler", handler, DOORBELL_HANDLERS.join(", "));
  if (typeof hypercalls !== "boolean")
    throw new XenConfigError("domain.doorbell.hypercalls", hypercalls, "true or false");
  if (typeof fastMmio !== "boolean")
    throw new XenConfigError("domain.doorbell.fastMmio", fastMmio, "true or false");
  if (vcpus !== 1 || confidential !== undefined || paging !== "hap")
    throw new XenConfigError(
      "domain.doorbell",
      handler,
      "none with several vCPUs, an encrypted guest or shadow paging",
    );
  return { handler, hypercalls, fastMmio };
}

/** @throws XenConfigError for a handler that Xen cannot have: only KVM signals an eventfd */
export function checkDoorbell({ doorbell }: ResolvedDomainConfig): void {
  if (doorbell?.handler === "ioeventfd")
    throw new XenConfigError("domain.doorbell.handler", "ioeventfd", "hypervisor or user-space under Xen");
}

function resolveFixup({
  hypercallFixup = "none",
  confidential,
  paging = "hap",
}: DomainConfig): HypercallFixup {
  if (!HYPERCALL_FIXUPS.includes(hypercallFixup))
    throw new XenConfigError("domain.hypercallFixup", hypercallFixup, HYPERCALL_FIXUPS.join(", "));
  if (hypercallFixup !== "none" && (confidential !== undefined || paging !== "hap"))
    throw new XenConfigError(
      "domain.hypercallFixup",
      hypercallFixup,
      "none for an encrypted guest, whose code cannot be read, and under shadow paging",
    );
  return hypercallFixup;
}

function resolveViridian(viridian: DomainConfig["viridian"] = false): readonly ViridianGroup[] {
  if (typeof viridian === "boolean") return viridian ? VIRIDIAN_DEFAULTS : [];
  const allowed = `true, false, or a list of ${VIRIDIAN_GROUPS.join(", ")} with base in it`;
  if (!Array.isArray(viridian) || (viridian.length > 0 && !viridian.includes("base")))
    throw new XenConfigError("domain.viridian", viridian, allowed);
  const stray = viridian.find((group) => !VIRIDIAN_GROUPS.includes(group));
  if (stray !== undefined) throw new XenConfigError("domain.viridian", stray, allowed);
  return VIRIDIAN_GROUPS.filter((group) => viridian.includes(group));
}

function resolveLayout({ fixedMemoryLayout = false, memoryBytes }: DomainConfig): number | undefined {
  if (typeof fixedMemoryLayout !== "boolean")
    throw new XenConfigError("domain.fixedMemoryLayout", fixedMemoryLayout, "true or false");
  if (!fixedMemoryLayout) return undefined;
  const last = fixedRegions(memoryBytes, DEFAULT_MAX_FRAMES).at(-1);
  if (last !== undefined && last.address + last.size > MAX_MEMORY)
    throw new XenConfigError(
      "domain.fixedMemoryLayout",
      true,
      "false, or memory that leaves room below 1 TiB",
    );
  return DEFAULT_MAX_FRAMES;
}

function resolveAbi(abi: HypercallAbiName | DomainAbi): DomainAbi {
  if (typeof abi === "object" && abi !== null && typeof abi.make === "function") return abi;
  const named = HYPERCALL_ABIS.find((name) => name === abi);
  if (named === undefined)
    throw new XenConfigError("domain.abi", abi, `${HYPERCALL_ABIS.join(", ")}, or a DomainAbi`);
  return DOMAIN_ABIS[named];
}

function checkAnnouncement(config: DomainConfig, abi: string): void {
  const { physaddrAbi, fastabi } = config;
  const reason =
    "both proposals claim bit 7 of EAX in Xen's HVM CPUID leaf, so a guest could not tell which it has";
  if (physaddrAbi === true && (fastabi === true || abi === "fastabi"))
    throw new XenConfigError("domain.physaddrAbi", true, `false when FastABI is on: ${reason}`);
  if (fastabi === true && abi === "physaddr")
    throw new XenConfigError("domain.fastabi", true, `false with abi physaddr: ${reason}`);
  if (physaddrAbi !== undefined && physaddrAbi !== (abi === "physaddr"))
    throw new XenConfigError("domain.physaddrAbi", physaddrAbi, `${abi === "physaddr"} with abi ${abi}`);
  if (fastabi !== undefined && fastabi !== (abi === "fastabi"))
    throw new XenConfigError("domain.fastabi", fastabi, `${abi === "fastabi"} with abi ${abi}`);
}
