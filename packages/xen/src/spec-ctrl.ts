import type { ProcessorProfile } from "@hyperwalk/cpu";
import { BHB_SEQUENCES, type BhbSequence, type XenConfig, XenConfigError } from "./xen-config.js";

const TRUE = ["yes", "on", "true", "enable", "1"];
const FALSE = ["no", "off", "false", "disable", "0"];
const BOOLEANS = [...TRUE, ...FALSE].join(", ");
const THUNKS = ["retpoline", "lfence", "jmp"];
/** What Xen takes and no VM exit or entry of an HVM guest shows. */
const ELSEWHERE = [
  "ibrs",
  "stibp",
  "ssbd",
  "psfd",
  "ibpb",
  "branch-harden",
  "srb-lock",
  "unpriv-mmio",
  "gds-mit",
  "div-scrub",
  "bp-spec-reduce",
  "ibpb-alt",
];
/** Of PV and HVM guests together, or of one kind. */
const BY_KIND = ["msr-sc", "rsb", "verw", "md-clear", "ibpb-entry", "bhb-entry"];
const SUBOPTIONS = [
  "no",
  "no-xen",
  "pv",
  "hvm",
  ...BY_KIND,
  "bti-thunk",
  "bhb-seq",
  "bhi-dis-s",
  "l1d-flush",
  "lock-harden",
  ...ELSEWHERE,
].join(", ");

/** One item of a list: its name, and its value if it has a boolean one. */
interface Item {
  readonly text: string;
  readonly name: string;
  /** Undefined where there is another value. */
  readonly value: boolean | undefined;
  /** What is after the `=`. */
  readonly argument: string;
}

/** What the command line has decided; undefined: Xen decides. */
interface Choices {
  msrSc: boolean;
  rsb: boolean;
  verw: boolean | undefined;
  ibpbEntry: boolean | undefined;
  bhbEntry: boolean | undefined;
  bhbSeq: BhbSequence | "none" | undefined;
  bhiDisS: boolean | undefined;
  l1dFlush: boolean | undefined;
  lockHarden: boolean | undefined;
}

/**
 * The text of Xen's `spec-ctrl=` as it acts on HVM guests of a processor: a list of sub-options separated by commas, of
 * which later ones win (`parse_spec_ctrl` and what `init_speculation_mitigations` makes of it, commit c447b7308b13).
 * Sub-options that touch neither VM exits nor entries are checked and otherwise without effect. IBPB on entry exists on
 * SVM's path alone, BHB clearing on VMX's.
 * @throws XenConfigError that names the sub-option and what is allowed
 */
export function parseSpecCtrl(text: string, profile: ProcessorProfile): XenConfig {
  const choices: Choices = {
    msrSc: true,
    rsb: true,
    verw: undefined,
    ibpbEntry: undefined,
    bhbEntry: undefined,
    bhbSeq: undefined,
    bhiDisS: undefined,
    l1dFlush: undefined,
    lockHarden: undefined,
  };
  for (const each of text.split(",")) takeItem(itemOf(each), choices);
  return decide(choices, profile);
}

/**
 * The text of Xen's `ept=`: `ad`, `pml`, `exec-sp`, each a boolean, separated by commas. Without accessed and dirty flags
 * (`no-ad`) there is no page-modification log either; AMD processors are left as they are, as in Xen.
 * @throws XenConfigError that names the sub-option and what is allowed
 */
export function parseEpt(text: string, profile: ProcessorProfile): XenConfig {
  let ad = true;
  let pml: boolean | undefined;
  let execSp: boolean | undefined;
  for (const each of text.split(",")) {
    const item = itemOf(each);
    const { name } = item;
    if (name !== "ad" && name !== "pml" && name !== "exec-sp")
      throw new XenConfigError("ept", each, "a list of ad, pml, exec-sp");
    const value = booleanOf(item, `ept.${name}`);
    if (name === "ad") ad = value;
    else if (name === "pml") pml = value;
    else execSp = value;
  }
  if (profile.vendor === "amd") return {};
  return {
    ...(!ad ? { pml: false } : pml === undefined ? {} : { pml }),
    ...(execSp === undefined ? {} : { execSp }),
  };
}

function takeItem(item: Item, choices: Choices): void {
  const { text, name, value, argument } = item;
  const key = `spec-ctrl.${name}`;
  if (FALSE.includes(text)) {
    choices.msrSc = false;
    disable(choices);
    return;
  }
  switch (name) {
    case "xen":
      if (value !== false) throw new XenConfigError(key, text, "no-xen");
      disable(choices);
      return;
    case "pv":
      booleanOf(item, key);
      return;
    case "hvm":
      for (const each of BY_KIND) setFor(choices, each, booleanOf(item, key));
      return;
    case "bti-thunk":
      if (!THUNKS.includes(argument)) throw new XenConfigError(key, text, THUNKS.join(", "));
      return;
    case "bhb-seq": {
      const found = ["none", ...BHB_SEQUENCES].find((sequence) => sequence === argument);
      if (found === undefined) throw new XenConfigError(key, text, ["none", ...BHB_SEQUENCES].join(", "));
      choices.bhbSeq = found as BhbSequence | "none";
      return;
    }
    case "bhi-dis-s":
      choices.bhiDisS = booleanOf(item, key);
      return;
    case "l1d-flush":
      choices.l1dFlush = booleanOf(item, key);
      return;
    case "lock-harden":
      choices.lockHarden = booleanOf(item, key);
      return;
    default:
      if (BY_KIND.includes(name)) takeByKind(item, key, choices);
      else if (ELSEWHERE.includes(name)) booleanOf(item, key);
      else throw new XenConfigError("spec-ctrl", text, SUBOPTIONS);
  }
}

/** `rsb`, `no-rsb`, `rsb=hvm`, `rsb=no-pv`. */
function takeByKind({ text, name, value, argument }: Item, key: string, choices: Choices): void {
  if (value !== undefined) {
    setFor(choices, name, value);
    return;
  }
  const kind = itemOf(argument);
  if ((kind.name !== "pv" && kind.name !== "hvm") || kind.value === undefined)
    throw new XenConfigError(key, text, `a boolean (${BOOLEANS}), or pv, no-pv, hvm, no-hvm`);
  if (kind.name === "hvm") setFor(choices, name, kind.value);
}

function setFor(choices: Choices, name: string, value: boolean): void {
  if (name === "msr-sc") choices.msrSc = value;
  else if (name === "rsb") choices.rsb = value;
  else if (name === "ibpb-entry") choices.ibpbEntry = value;
  else if (name === "bhb-entry") choices.bhbEntry = value;
  else choices.verw = value;
}

/** `no-xen`, and the part of `no` that it is. */
function disable(choices: Choices): void {
  choices.rsb = false;
  choices.verw = false;
  choices.ibpbEntry = false;
  choices.bhbEntry = false;
  choices.bhbSeq = "none";
  choices.l1dFlush = false;
  choices.lockHarden = false;
}

function decide(choices: Choices, { vendor, defaults }: ProcessorProfile): XenConfig {
  const { lockHarden } = choices;
  const isAmd = vendor === "amd";
  const l1dFlush = isAmd ? false : (choices.l1dFlush ?? defaults.l1dFlush);
  // Parts that are flushed for L1TF have MDS, too, for which the flush stands in, whatever is said about VERW.
  const verw = choices.verw ?? (defaults.verw || (defaults.l1dFlush && !l1dFlush));
  // cpu_has_bug_bhi: among these parts only the one with BHI_DIS_S
  const disS = defaults.bhiDisS && (choices.bhiDisS ?? true);
  const sequence = choices.bhbSeq ?? (defaults.bhiDisS && !disS ? "short" : "none");
  const bhbEntry = choices.bhbEntry ?? (defaults.bhiDisS && sequence !== "none");
  return {
    specCtrlWrite: choices.msrSc && defaults.specCtrlWrite,
    rsbOverwrite: choices.rsb,
    ibpbEntry: isAmd && (choices.ibpbEntry ?? defaults.ibpbEntry),
    bhbClear: !isAmd && bhbEntry && sequence !== "none",
    ...(sequence === "none" ? {} : { bhbSeq: sequence }),
    verw: verw && !(l1dFlush && defaults.l1dFlush),
    l1dFlush,
    ...(lockHarden === undefined ? {} : { lockHarden }),
  };
}

/** `parse_boolean`: `name`, `no-name`, `name=yes`; a value that is not a boolean stays a text. */
function itemOf(text: string): Item {
  const negative = text.startsWith("no-");
  const rest = negative ? text.slice(3) : text;
  const equals = rest.indexOf("=");
  if (equals < 0) return { text, name: rest, value: !negative, argument: "" };
  // "no-" goes with nothing but the bare name.
  if (negative) return { text, name: text, value: undefined, argument: "" };
  const argument = rest.slice(equals + 1);
  const value = TRUE.includes(argument) ? true : FALSE.includes(argument) ? false : undefined;
  return { text, name: rest.slice(0, equals), value, argument };
}

function booleanOf({ text, value }: Item, key: string): boolean {
  if (value === undefined) throw new XenConfigError(key, text, `a boolean: ${BOOLEANS}`);
  return value;
}
