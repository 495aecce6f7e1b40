import { basename } from "node:path";
import { type BootProtocolName, type FastForwardTarget, ImageError, XenConfigError } from "@hyperwalk/xen";
import { DEFAULT_MMIO_HANDLERS } from "../defaults.js";
import type { Guest, GuestOperation } from "../guest.js";
import { BUILT_IN_GUESTS } from "../guest-catalogue.js";
import { type RecordRequest, recordGuest } from "../recording/record.js";
import { describeOutcome } from "../report/exits.js";
import type { AbiName, GuestPage, P2mPage } from "../result.js";
import { readFile } from "./files.js";
import { LineFile } from "./line-file.js";
import { machineById } from "./machine.js";
import type { Output } from "./output.js";
import { UsageError } from "./usage-error.js";
import { type XenOptions, xenConfig } from "./xen-options.js";

/** What the command line of `record` says, parsed. */
export interface RecordOptions extends XenOptions {
  readonly output: string;
  readonly machine: string;
  readonly abi: AbiName;
  readonly cmdline: string;
  /** Bytes. */
  readonly memory: number;
  readonly p2mPage?: P2mPage;
  readonly mmioHandlers?: number;
  readonly maxInstructions: number;
  readonly fastForward?: FastForwardTarget;
  readonly iterations: number;
  readonly op: GuestOperation;
  readonly guestPage: GuestPage;
  readonly module: readonly string[];
  readonly protocol?: BootProtocolName;
  readonly vcpus: number;
  readonly hardwareDomain?: boolean;
  readonly json?: boolean;
}

/** Options that say nothing to a guest of the other kind. */
const OF_BUILT_IN: readonly (keyof RecordOptions)[] = ["iterations", "op", "guestPage"];
const OF_IMAGES: readonly (keyof RecordOptions)[] = ["module", "protocol", "vcpus", "hardwareDomain"];

/** `hyperwalk record`: a guest's hypercalls, one line each. @param given was an option given? @returns the exit code */
export async function recordCommand(
  guest: string,
  options: RecordOptions,
  given: (option: keyof RecordOptions) => boolean,
  output: Output,
): Promise<number> {
  const builtIn = BUILT_IN_GUESTS.find(({ name }) => name === guest);
  const idle = (builtIn === undefined ? OF_BUILT_IN : OF_IMAGES).find(given);
  if (idle !== undefined)
    throw new UsageError(
      `option --${flagOf(idle)}`,
      `it says nothing to ${builtIn === undefined ? "an image" : guest}`,
      builtIn === undefined ? `with ${BUILT_IN_GUESTS.map(({ name }) => name).join(", ")}` : "with an image",
    );
  const machine = await machineById("option --machine", options.machine);
  const { abi, memory, p2mPage, mmioHandlers, maxInstructions, fastForward } = options;
  const lines = new LineFile("option --output", options.output);
  const text = new TextDecoder();
  try {
    const document = recordGuest({
      ...(builtIn === undefined ? imageOf(guest, options) : guestOf(builtIn, options, machine.vendor)),
      machine,
      abi,
      memoryBytes: memory,
      xen: xenConfig(options, machine),
      domain: {
        // Those of `compare`, so that the figures are the same.
        p2mPage: builtIn === undefined ? p2mPage : (p2mPage ?? "4k"),
        mmioHandlers: builtIn === undefined ? mmioHandlers : (mmioHandlers ?? DEFAULT_MMIO_HANDLERS),
        hardwareDomain: options.hardwareDomain ?? false,
      },
      maxInstructions,
      fastForward,
      onLine: (line) => lines.write(line),
      ...(options.json ? {} : { onConsole: (bytes) => output.out(text.decode(bytes, { stream: true })) }),
    });
    lines.close();
    if (options.json) output.out(`${JSON.stringify(document, null, 2)}\n`);
    else {
      const { recordReport } = await import("../report/record-report.js");
      output.out(recordReport(document, options.output, output.paint));
    }
    if (document.exitCode === 0) return 0;
    output.err(`error: ${guest}: ${describeOutcome(document.exit)}\n`);
    return 1;
  } catch (error) {
    if (error instanceof ImageError)
      throw new UsageError(
        "argument <guest>",
        `"${guest}" cannot be booted (${error.message})`,
        `${BUILT_IN_GUESTS.map(({ name }) => name).join(", ")}, or the path of an image that fits into --memory`,
      );
    if (error instanceof XenConfigError) throw new UsageError(error.key, String(error.value), error.allowed);
    throw error;
  } finally {
    lines.close();
  }
}

type GuestPart = Pick<RecordRequest, "name" | "image" | "cmdline" | "modules" | "protocol" | "vcpus">;

function imageOf(path: string, { cmdline, module, protocol, vcpus }: RecordOptions): GuestPart {
  return {
    name: basename(path),
    image: readFile("argument <guest>", path),
    cmdline,
    protocol,
    vcpus,
    modules: module.map((each) => ({ bytes: readFile("option --module", each), cmdline: each })),
  };
}

function guestOf(guest: Guest, options: RecordOptions, vendor: "amd" | "intel"): GuestPart {
  const { abi, iterations, op: operation, guestPage, cmdline } = options;
  if (guest.abis?.includes(abi) === false)
    throw new UsageError("option --abi", `${guest.name} has no stubs for ${abi}`, guest.abis.join(", "));
  if (!guest.operations.includes(operation))
    throw new UsageError(
      "option --op",
      `${guest.name} does not call ${operation}`,
      guest.operations.join(", "),
    );
  const settings = { abi, vendor, iterations, guestPage, operation, cmdline };
  return { name: guest.name, image: guest.image(settings), cmdline: guest.cmdline(settings) };
}

function flagOf(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
