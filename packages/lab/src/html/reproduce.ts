import { findProfile, type ProcessorProfile } from "@hyperwalk/cpu";
import { parseSpecCtrl, resolveXenConfig, type XenConfig, XenConfigError } from "@hyperwalk/xen";
import { DEFAULT_MEMORY_MIB, DEFAULT_MMIO_HANDLERS } from "../defaults.js";
import { BUILT_IN_GUESTS } from "../guest-catalogue.js";
import { COMPARED_ABIS, type CompareDocument, KVM_ABIS, type Mitigations } from "../result.js";

/** A command line that makes a document again, and what it cannot say. */
export interface Reproduction {
  /** Without the program's name. */
  readonly args: readonly string[];
  readonly notes: readonly string[];
}

/** The `compare` that gives a document; options at their defaults are left out. */
export function compareCommandLine(document: CompareDocument): Reproduction {
  const { guest, machine, host, runs } = document;
  const profile = findProfile(machine.id);
  const notes: string[] = [];
  const isBuiltIn = BUILT_IN_GUESTS.some(({ name }) => name === guest.name);
  if (!isBuiltIn) notes.push(`${guest.name} is the path of the guest's ELF file.`);
  if (profile === undefined)
    notes.push(
      `The machine ${machine.id} is not among those that this version has: --machine takes the path of its profile file${machine.sha256 === undefined ? "" : `, with which results say SHA-256 ${machine.sha256}`}.`,
    );
  const set = Object.entries(machine.set ?? {}).map(([key, value]) => `${JSON.stringify(key)}: ${value}`);
  if (set.length > 0)
    notes.push(`Numbers that a scenario's machine.set has to say, as compare cannot: { ${set.join(", ")} }.`);
  const iterations = runs[0].iterations;
  const usual = `iterations=${iterations} op=${guest.operation} leaf=${host.guestPage}`;
  const appended = guest.cmdline.startsWith(usual) ? guest.cmdline.slice(usual.length).trim() : "";
  const hosts = host.kind.split(",");
  // KVM runs those of the interfaces that it has.
  const asked = runs.filter((run) => hosts.length === 1 || run.host !== "kvm").map(({ abi }) => abi);
  const args = ["compare", guest.name, "--machine", machine.id];
  const option = (flag: string, value: string | number, usualValue?: string | number): void => {
    if (value !== usualValue) args.push(flag, String(value));
  };
  option("--abi", asked.join(","), (host.kind === "kvm" ? KVM_ABIS : COMPARED_ABIS).join(","));
  option("--host", host.kind, "xen");
  option("--iterations", iterations);
  option("--op", guest.operation, "get_runstate_info");
  option("--guest-page", host.guestPage, "4k");
  option("--p2m-page", host.p2mPage, "4k");
  option("--mmio-handlers", host.mmioHandlers, DEFAULT_MMIO_HANDLERS);
  option("--memory", host.memoryMiB, DEFAULT_MEMORY_MIB);
  if (host.confidential !== undefined) option("--confidential", host.confidential);
  if (host.fastForward !== undefined) option("--fast-forward", host.fastForward);
  if (host.execSp === false && profile?.defaults.execSp === true) option("--ept", "no-exec-sp");
  if (appended !== "") option("--cmdline", appended);
  if (host.kvm?.vmscape === false) option("--ibpb", "off");
  if (host.kvm !== undefined) option("--monitor", host.kvm.monitor, "all");
  if (hosts.includes("xen") && profile !== undefined) {
    const found = switches(host.mitigations, profile);
    if (found === undefined)
      notes.push("Xen's switches were set by a program; the command line cannot say them.");
    else if (found !== "") option("--spec-ctrl", found);
  }
  return { args, notes };
}

/** Words for a shell, each quoted where it has to be. */
export function shellWords(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w.,:=/@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(" ");
}

/** What `--spec-ctrl` has to say for these switches: nothing where Xen chooses them itself, undefined where it cannot. */
function switches(wanted: Mitigations, profile: ProcessorProfile): string | undefined {
  const usual = mitigationsOf({}, profile);
  if (same(wanted, usual)) return "";
  const isAmd = profile.vendor === "amd";
  const items: readonly (readonly [keyof Mitigations, string])[] = [
    ["specCtrlWrite", "msr-sc"],
    ["rsbOverwrite", "rsb"],
    ["verw", "verw"],
    ...(isAmd ? ([["ibpbEntry", "ibpb-entry"]] as const) : ([["bhbClear", "bhb-entry"]] as const)),
    ["l1dFlush", "l1d-flush"],
    ["lockHarden", "lock-harden"],
  ];
  const words = items
    .filter(([key]) => wanted[key] !== usual[key])
    .map(([key, word]) => `${wanted[key] ? "" : "no-"}${word}`);
  if (wanted.bhbClear) words.push(`bhb-seq=${wanted.bhbSeq ?? "short"}`);
  const text = words.join(",");
  try {
    return same(wanted, mitigationsOf(parseSpecCtrl(text, profile), profile)) ? text : undefined;
  } catch (error) {
    if (error instanceof XenConfigError) return undefined;
    throw error;
  }
}

function mitigationsOf(config: XenConfig, profile: ProcessorProfile): Mitigations {
  return resolveXenConfig(config, profile);
}

function same(a: Mitigations, b: Mitigations): boolean {
  const keys = [
    "ibpbEntry",
    "rsbOverwrite",
    "specCtrlWrite",
    "verw",
    "bhbClear",
    "l1dFlush",
    "lockHarden",
  ] as const;
  return (
    keys.every((key) => a[key] === b[key]) && (!a.bhbClear || (a.bhbSeq ?? "short") === (b.bhbSeq ?? "short"))
  );
}
