import type { ProcessorProfile } from "@hyperwalk/cpu";
import { MONITORS, type MonitorName } from "../../monitor/qemu-operations.js";
import { XenConfigError } from "../../xen-config.js";

/** How the return stack is filled after an exit: 32 calls, one, or not at all. */
export const RSB_FILLS = ["full", "lite", "none"] as const;
export type RsbFill = (typeof RSB_FILLS)[number];

/** How the monitor names shared_info to KVM: by guest frame, or by the address in its own process. */
export const SHARED_INFO_KEYS = ["gfn", "hva"] as const;
export type SharedInfoKey = (typeof SHARED_INFO_KEYS)[number];

/** Switches of Linux and of the monitor; what is left out is as Linux chooses on the processor. */
export interface KvmConfig {
  /** SPEC_CTRL by WRMSR after each exit and before each entry: Intel's, where the host keeps IBRS on. AMD switches it itself. */
  readonly specCtrlWrite?: boolean | undefined;
  /** `full` with retpolines, `lite` or `none` with enhanced or automatic IBRS. */
  readonly rsbFill?: RsbFill | undefined;
  /** VERW before each entry (`mds=`, `tsa=`). */
  readonly verw?: boolean | undefined;
  /** L1D flush before the first entry of each KVM_RUN (`kvm-intel.vmentry_l1d_flush=cond`), on parts with L1TF. */
  readonly l1dFlush?: boolean | undefined;
  /** IBPB on the first way to user space after the guest ran (`vmscape=ibpb`). */
  readonly vmscape?: boolean | undefined;
  /** Page-table isolation (`pti=`), on parts with Meltdown. */
  readonly pti?: boolean | undefined;
  /** Executable huge pages (`kvm.nx_huge_pages=off`): off on parts where a guest can crash the host with them. */
  readonly execHugePages?: boolean | undefined;
  /** Deleting or moving a memory slot zaps all of the VM's mappings (KVM_X86_QUIRK_SLOT_ZAP_ALL); default true. */
  readonly slotZapAll?: boolean | undefined;
  /** Default `hva`. */
  readonly sharedInfo?: SharedInfoKey | undefined;
  /** Which hypercalls the monitor serves; default `all`. */
  readonly monitor?: MonitorName | undefined;
}

/** Switches with every default decided. */
export type ResolvedKvmConfig = { readonly [K in keyof KvmConfig]-?: Exclude<KvmConfig[K], undefined> };

const EXTENDED_FEATURES_2 = 0x80000021;
const AUTOMATIC_IBRS = 1 << 8;

/**
 * Linux's defaults on a processor (`bugs.c`). Parts with L1TF are taken to have Meltdown, and VMSCAPE is taken to affect all.
 * @throws XenConfigError for a switch that is no such value, or that the vendor does not have
 */
export function resolveKvmConfig(config: KvmConfig, profile: ProcessorProfile): ResolvedKvmConfig {
  const { defaults } = profile;
  const isAmd = profile.vendor === "amd";
  const switches = {
    specCtrlWrite: config.specCtrlWrite ?? !isAmd,
    verw: config.verw ?? (defaults.verw || defaults.l1dFlush),
    l1dFlush: config.l1dFlush ?? defaults.l1dFlush,
    vmscape: config.vmscape ?? true,
    pti: config.pti ?? defaults.l1dFlush,
    execHugePages: config.execHugePages ?? defaults.execSp,
    slotZapAll: config.slotZapAll ?? true,
  };
  for (const [key, value] of Object.entries(switches))
    if (typeof value !== "boolean") throw new XenConfigError(`kvm.${key}`, value, "true or false");
  for (const key of ["specCtrlWrite", "l1dFlush"] as const)
    if (switches[key] && isAmd) throw new XenConfigError(`kvm.${key}`, true, "false on AMD");
  const { rsbFill = defaultFill(profile), sharedInfo = "hva", monitor = "all" } = config;
  if (!RSB_FILLS.includes(rsbFill)) throw new XenConfigError("kvm.rsbFill", rsbFill, RSB_FILLS.join(", "));
  if (!SHARED_INFO_KEYS.includes(sharedInfo))
    throw new XenConfigError("kvm.sharedInfo", sharedInfo, SHARED_INFO_KEYS.join(", "));
  if (!MONITORS.includes(monitor)) throw new XenConfigError("kvm.monitor", monitor, MONITORS.join(", "));
  return { ...switches, rsbFill, sharedInfo, monitor };
}

/** `spectre_v2_determine_rsb_fill_type_at_vmexit`: parts whose IBRS is always on need no filling, or little. */
function defaultFill({ vendor, cpuid, defaults }: ProcessorProfile): RsbFill {
  if (vendor === "intel") return defaults.bhiDisS ? "lite" : "full"; // what has BHI_DIS_S has enhanced IBRS
  const features = cpuid.find(([leaf]) => leaf === EXTENDED_FEATURES_2)?.[2] ?? 0;
  return (features & AUTOMATIC_IBRS) !== 0 ? "none" : "full";
}
