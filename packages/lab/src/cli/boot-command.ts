import { dirname, resolve } from "node:path";
import {
  type BootModule,
  type BootProtocolName,
  type FastForwardTarget,
  fastabi,
  ImageError,
  type MonitorName,
  parseXlConfig,
  SnapshotError,
  XenConfigError,
  type XlConfig,
  XlConfigError,
} from "@hyperwalk/xen";
import { type BootRequest, bootGuest } from "../boot.js";
import { type AbiName, type HostName, KVM_ABIS } from "../result.js";
import { kvmConfig } from "./compare-command.js";
import { readFile, readText, writeFile } from "./files.js";
import { LineFile } from "./line-file.js";
import { machineById } from "./machine.js";
import type { Output } from "./output.js";
import { UsageError } from "./usage-error.js";
import { type XenOptions, xenConfig } from "./xen-options.js";

/** What the command line of `boot` says, parsed. */
export interface BootOptions extends XenOptions {
  readonly machine: string;
  readonly abi: AbiName;
  readonly host: HostName;
  readonly monitor?: MonitorName;
  readonly protocol?: BootProtocolName;
  readonly cmdline: string;
  readonly module: readonly string[];
  readonly vcpus: number;
  /** Bytes. */
  readonly memory: number;
  readonly hardwareDomain?: boolean;
  /** FastABI as the RFC's code has it. */
  readonly rfcQuirks?: boolean;
  readonly fixedMemoryLayout?: boolean;
  readonly maxInstructions: number;
  readonly fastForward?: FastForwardTarget;
  readonly trace?: string;
  readonly snapshotAt?: number;
  readonly snapshot?: string;
  readonly restore?: string;
  readonly json?: boolean;
  /** A configuration as xl reads it, instead of the image and what it says. */
  readonly xl?: string;
}

/** What a file of `--xl` says instead of options. */
interface XlBoot {
  readonly path: string;
  readonly options: BootOptions;
  readonly domain: NonNullable<BootRequest["domain"]>;
}

/** The options that a configuration file has keys for. */
const XL_OPTIONS: readonly (keyof BootOptions)[] = [
  "cmdline",
  "module",
  "vcpus",
  "memory",
  "abi",
  "protocol",
];

/**
 * Image and options as a configuration file says them. Its paths are relative to its own folder.
 * @param given names of the options that the command line had
 */
export function bootFromXl(
  image: string | undefined,
  options: BootOptions,
  given: (option: keyof BootOptions) => boolean,
): XlBoot {
  const { xl } = options;
  if (xl === undefined) {
    if (image === undefined)
      throw new UsageError("argument <image>", "nothing is given", "the path of an image, or --xl <file>");
    return { path: image, options, domain: {} };
  }
  const twice = image !== undefined ? "argument <image>" : XL_OPTIONS.find(given);
  if (twice !== undefined)
    throw new UsageError(
      image !== undefined ? twice : `option --${twice}`,
      "the file of --xl says it",
      "one of both",
    );
  const text = readText("option --xl", xl);
  const config = parsedXl(text, xl);
  const resolved = (path: string) => resolve(dirname(xl), path);
  return {
    path: resolved(config.kernel),
    options: {
      ...options,
      ...(config.type === "hvm" ? { protocol: "hvm" as const } : {}),
      cmdline: config.cmdline,
      module: config.ramdisk === undefined ? [] : [resolved(config.ramdisk)],
      vcpus: config.vcpus,
      memory: config.memoryBytes,
      abi: config.abi,
    },
    domain: {
      viridian: config.viridian,
      maxEventChannels: config.maxEventChannels,
      createFlags: config.createFlags,
      fixedMemoryLayout: config.fixedMemoryLayout,
      paging: config.hap ? "hap" : "shadow",
    },
  };
}

/** What a domain has of the FastABI series besides the interface itself. */
function fastabiDomain({ abi, rfcQuirks, fixedMemoryLayout }: BootOptions): BootRequest["domain"] {
  if (rfcQuirks && abi !== "fastabi")
    throw new UsageError("option --rfc-quirks", `given for ${abi}`, "--abi fastabi beside it");
  return {
    ...(rfcQuirks ? { abi: fastabi({ rfcQuirks }) } : {}),
    ...(fixedMemoryLayout ? { fixedMemoryLayout } : {}),
  };
}

function parsedXl(text: string, file: string): XlConfig {
  try {
    return parseXlConfig(text, file);
  } catch (error) {
    if (!(error instanceof XlConfigError)) throw error;
    const { key, line, code, allowed } = error;
    throw new UsageError("option --xl", `${file}:${line}: ${code}${key === "" ? "" : ` at ${key}`}`, allowed);
  }
}

/** `hyperwalk boot`: one image to its end, its console as it comes. @returns the exit code */
export async function bootCommand({ path, options, domain }: XlBoot, output: Output): Promise<number> {
  const image = readFile("argument <image>", path);
  const modules: BootModule[] = options.module.map((each) => ({
    bytes: readFile("option --module", each),
    cmdline: each,
  }));
  const machine = await machineById("option --machine", options.machine);
  checkHost(options);
  const xen = xenConfig(options, machine);
  const snapshot = snapshotRequest(options);
  const text = new TextDecoder();
  const trace = options.trace === undefined ? undefined : new LineFile("option --trace", options.trace);
  try {
    const document = bootGuest({
      image,
      machine,
      protocol: options.protocol,
      cmdline: options.cmdline,
      modules,
      memoryBytes: options.memory,
      vcpus: options.vcpus,
      abi: options.abi,
      xen,
      host: options.host,
      kvm: kvmConfig(options),
      hardwareDomain: options.hardwareDomain ?? false,
      domain: { ...domain, ...fastabiDomain(options) },
      maxInstructions: options.maxInstructions,
      fastForward: options.fastForward,
      ...snapshot.request,
      ...(options.json ? {} : { onConsole: (bytes) => output.out(text.decode(bytes, { stream: true })) }),
      ...(trace === undefined ? {} : { onStart: () => trace.open(), onTrace: (line) => trace.write(line) }),
    });
    if (snapshot.missing)
      throw new UsageError(
        "option --snapshot-at",
        `${options.snapshotAt}: the guest ran only ${document.instructions + (document.fastForward?.instructions ?? 0)} instructions`,
        "fewer instructions than the guest runs and --max-instructions allows",
      );
    if (options.json) output.out(`${JSON.stringify(document, null, 2)}\n`);
    else {
      const { bootReport } = await import("../report/boot-report.js");
      output.out(bootReport(document, output.paint));
    }
    return document.exitCode;
  } catch (error) {
    throw explained(path, options, error);
  } finally {
    trace?.close();
  }
}

/** Refuses what the chosen hypervisor does not have. */
function checkHost({ host, abi, monitor, specCtrl, ept, xl, hardwareDomain }: BootOptions): void {
  if (host === "xen") {
    if (monitor !== undefined)
      throw new UsageError("option --monitor", "only KVM has one", "with --host kvm");
    return;
  }
  const refuse = (option: string, problem: string): never => {
    throw new UsageError(`option ${option}`, problem, "with --host xen");
  };
  if (xl !== undefined) refuse("--xl", "xl makes domains of Xen's");
  if (!KVM_ABIS.includes(abi))
    throw new UsageError(
      "option --abi",
      `KVM does not have ${abi}`,
      `with --host kvm: ${KVM_ABIS.join(", ")}`,
    );
  if (specCtrl !== undefined) refuse("--spec-ctrl", "these are words of Xen's");
  if (ept !== undefined) refuse("--ept", "these are words of Xen's");
  if (hardwareDomain === true) refuse("--hardware-domain", "only Xen has a console of its own");
}

/** Fields of an ImageError that are about an option and not about the image. */
const OPTION_OF_FIELD: Readonly<Record<string, string>> = { cmdline: "--cmdline", modules: "--module" };

/** The part of a boot request that is about snapshots; `missing` until one that was asked for is written. */
function snapshotRequest({ snapshotAt, snapshot, restore }: BootOptions): {
  readonly request: Pick<BootRequest, "restore" | "snapshotAt" | "onSnapshot">;
  readonly missing: boolean;
} {
  if ((snapshotAt === undefined) !== (snapshot === undefined))
    throw new UsageError(
      `option --${snapshot === undefined ? "snapshot-at" : "snapshot"}`,
      `it says nothing without --${snapshot === undefined ? "snapshot" : "snapshot-at"}`,
      "both or neither",
    );
  let missing = snapshotAt !== undefined;
  return {
    request: {
      ...(restore === undefined ? {} : { restore: readFile("option --restore", restore) }),
      ...(snapshotAt === undefined || snapshot === undefined
        ? {}
        : {
            snapshotAt,
            onSnapshot: (bytes) => {
              writeFile("option --snapshot", snapshot, bytes);
              missing = false;
            },
          }),
    },
    get missing() {
      return missing;
    },
  };
}

function explained(path: string, options: BootOptions, error: unknown): unknown {
  if (error instanceof SnapshotError)
    return new UsageError(
      "option --restore",
      `"${options.restore}" cannot be restored (${error.message})`,
      "a file that --snapshot wrote, with the same image, machine and options",
    );
  if (error instanceof ImageError) {
    const option = OPTION_OF_FIELD[error.field];
    if (option !== undefined)
      return new UsageError(`option ${option}`, `${error.found} given`, error.allowed);
    return new UsageError(
      "argument <image>",
      `"${path}" cannot be booted (${error.message})`,
      "a PVH, multiboot or plain 32-bit entry ELF file that fits into --memory",
    );
  }
  if (error instanceof XenConfigError) return new UsageError(error.key, String(error.value), error.allowed);
  return error;
}
