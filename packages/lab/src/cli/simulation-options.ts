import { type Command, Option } from "commander";
import {
  DEFAULT_BOOT_INSTRUCTIONS,
  DEFAULT_BOOT_MEMORY,
  DEFAULT_MAX_INSTRUCTIONS,
  DEFAULT_MEMORY_MIB,
  DEFAULT_MMIO_HANDLERS,
} from "../defaults.js";
import { ABIS, COMPARED_ABIS, GUEST_PAGES, HOSTS, KVM_ABIS, P2M_PAGES } from "../result.js";
import { fastForwardTarget, memorySize, oneOf, someOf, wholeNumber } from "./option-values.js";

// These are those of `@hyperwalk/xen`, which help does not load.
const CONFIDENTIAL_KINDS = ["sev", "sev-es", "sev-snp"] as const;
const BOOT_PROTOCOL_NAMES = ["pvh", "multiboot", "hvm"] as const;
const MAX_VCPUS = 32;

/** Of commands that print a document. */
export const JSON_OPTION = ["--json", "print one JSON document and nothing else"] as const;

/** On how many threads a command runs what does not depend on each other; the results are the same on any number. */
export function workersOption(): Option {
  return new Option("--workers <n>", "threads to run on (default: one for each processor)").argParser(
    wholeNumber("--workers", 1, 1024),
  );
}

/** The hypervisor of a single run. */
export function oneHostOption(): Option {
  return new Option("--host <name>", `hypervisor: ${HOSTS.join(", ")}; kvm has ${KVM_ABIS.join(", ")} alone`)
    .argParser(oneOf("--host", HOSTS))
    .default("xen");
}

export function machineOption(): Option {
  const option = new Option("--machine <id>", "processor: see `hyperwalk profiles`, or a profile file");
  return option.default("epyc-9124");
}

/** Interfaces to compare. */
export function abisOption(): Option {
  return new Option("--abi <list>", `interfaces, separated by commas, or all: ${ABIS.join(", ")}`)
    .argParser(someOf("--abi", ABIS))
    .default(COMPARED_ABIS, COMPARED_ABIS.join(","));
}

/** Hypervisors to compare. */
export function hostsOption(): Option {
  return new Option(
    "--host <list>",
    `hypervisors, separated by commas, or all: ${HOSTS.join(", ")}; kvm has ${KVM_ABIS.join(", ")} alone`,
  )
    .argParser(someOf("--host", HOSTS))
    .default(["xen"], "xen");
}

export function iterationsOption(fallback: number): Option {
  return new Option("--iterations <n>", "hypercalls in the guest's measured loop")
    .argParser(wholeNumber("--iterations", 1, 2 ** 24))
    .default(fallback);
}

/** Memory of a booted guest. */
export function bootMemoryOption(): Option {
  return new Option("--memory <size>", "guest memory: MiB, or with K, M, G, T")
    .argParser(memorySize("--memory", 2 ** 20, 2 ** 40))
    .default(DEFAULT_BOOT_MEMORY, `${DEFAULT_BOOT_MEMORY / 2 ** 20}M`);
}

/** Where a booted guest is stopped. */
export function bootInstructionsOption(): Option {
  return new Option("--max-instructions <n>", "stop the guest after so many instructions")
    .argParser(wholeNumber("--max-instructions", 1, 2 ** 50))
    .default(DEFAULT_BOOT_INSTRUCTIONS);
}

export function moduleOption(prefix = ""): Option {
  return new Option("--module <file>", `${prefix}a file that the boot loader passes on; may be given again`)
    .argParser((file: string, before: readonly string[]) => [...before, file])
    .default([], "none");
}

export function protocolOption(text: string): Option {
  return new Option("--protocol <name>", `${text}: ${BOOT_PROTOCOL_NAMES.join(", ")}`).argParser(
    oneOf("--protocol", BOOT_PROTOCOL_NAMES),
  );
}

export function vcpusOption(text: string): Option {
  return new Option("--vcpus <n>", `${text} 1 to ${MAX_VCPUS}`)
    .argParser(wholeNumber("--vcpus", 1, MAX_VCPUS))
    .default(1);
}

export function specCtrlOption(): Option {
  return new Option(
    "--spec-ctrl <text>",
    "mitigations in the words of Xen's command line: no, no-xen, rsb=no-hvm, ibpb-entry=hvm, …",
  );
}

export function eptOption(): Option {
  return new Option("--ept <text>", "the same for Intel's second stage: exec-sp, no-exec-sp, pml=0, ad=0");
}

/** Those of `@hyperwalk/xen`, too. */
const MONITORS = ["all", "qemu"] as const;

export function monitorOption(): Option {
  return new Option(
    "--monitor <name>",
    `which hypercalls KVM's monitor serves: ${MONITORS.join(", ")}; all are those that Xen has here (default: all)`,
  ).argParser(oneOf("--monitor", MONITORS));
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
