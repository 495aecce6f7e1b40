import { type Command, Option } from "commander";
import { DEFAULT_MAX_INSTRUCTIONS, DEFAULT_MEMORY_MIB, DEFAULT_MMIO_HANDLERS } from "../defaults.js";
import { GUEST_PAGES, P2M_PAGES } from "../result.js";
import { fastForwardTarget, oneOf, wholeNumber } from "./option-values.js";

/** Those of `@hyperwalk/xen`, which help does not load. */
const CONFIDENTIAL_KINDS = ["sev", "sev-es", "sev-snp"] as const;

export function specCtrlOption(): Option {
  return new Option(
    "--spec-ctrl <text>",
    "mitigations in the words of Xen's command line: no, no-xen, rsb=no-hvm, ibpb-entry=hvm, …",
  );
}

export function eptOption(): Option {
  return new Option("--ept <text>", "the same for Intel's second stage: exec-sp, no-exec-sp, pml=0, ad=0");
}

export function fastForwardOption(): Option {
  return new Option(
    "--fast-forward <until>",
    "run with timing off first: so many guest instructions, up to an address (0x…), or to the guest's `marker` (XCHG BX, BX)",
  ).argParser(fastForwardTarget("--fast-forward"));
}

/** What `compare` and `trace` can be told about a guest, its domain and its host, whichever interface they are about. */
export function comparedOptions(command: Command): Command {
  const choice = <T extends string>(
    flag: string,
    value: string,
    allowed: readonly T[],
    text: string,
  ): Option =>
    new Option(`${flag} <${value}>`, `${text}: ${allowed.join(", ")}`).argParser(oneOf(flag, allowed));
  const number = (flag: string, least: number, most: number, fallback: number, text: string): Option =>
    new Option(`${flag} <n>`, text).argParser(wholeNumber(flag, least, most)).default(fallback);
  return command
    .addOption(choice("--guest-page", "size", GUEST_PAGES, "leaves of the guest's page tables").default("4k"))
    .addOption(choice("--p2m-page", "size", P2M_PAGES, "largest leaves of the p2m").default("4k"))
    .addOption(
      choice(
        "--ibpb",
        "switch",
        ["on", "off"],
        "IBPB on each exit, on KVM on each to user space (default: as the hypervisor chooses on the machine)",
      ),
    )
    .addOption(specCtrlOption())
    .addOption(eptOption())
    .addOption(
      number("--mmio-handlers", 0, 16, DEFAULT_MMIO_HANDLERS, "handlers that Xen asks on each guest copy"),
    )
    .addOption(number("--memory", 8, 2 ** 20, DEFAULT_MEMORY_MIB, "guest memory, MiB"))
    .addOption(
      number(
        "--max-instructions",
        1,
        2 ** 40,
        DEFAULT_MAX_INSTRUCTIONS,
        "stop a guest after so many instructions",
      ),
    )
    .addOption(choice("--confidential", "kind", CONFIDENTIAL_KINDS, "encrypt the domain, on AMD's machines"))
    .addOption(fastForwardOption())
    .addOption(new Option("--cmdline <text>", "appended to the guest's command line").default(""));
}
