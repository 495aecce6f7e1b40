import { encryptsRegisters } from "@hyperwalk/xen";
import type { Assembler } from "./assembler/assembler.js";
import { Label } from "./assembler/label.js";
import { type GuestBuffer, type GuestBuildOptions, GuestProgram } from "./guest-program.js";
import { GuestSourceError } from "./guest-source-error.js";
import { type ImageSymbols, type LinkedImage, linkPvhImage } from "./image/pvh-image.js";
import { emitCheckInterface } from "./runtime/check-interface.js";
import { type ConsoleState, emitConsoleInit, emitConsoleRoutines } from "./runtime/console.js";
import { EXIT_IDT_BYTES, emitExitHandler, emitExitSetup } from "./runtime/exit-handler.js";
import { emitFindXen, type FurtherPage } from "./runtime/find-xen.js";
import { emitNumberRoutines } from "./runtime/numbers.js";
import { emitRegisterImage } from "./runtime/register-image.js";
import { emitSecureStart, emitSharePages } from "./runtime/secure-start.js";
import { SharedMemory } from "./runtime/shared-memory.js";
import { BufferLists } from "./stubs/buffer-lists.js";
import { fastabiStubs } from "./stubs/fastabi.js";
import type { AbiName, StubEmitter, StubMemory } from "./stubs/stub-emitter.js";
import { traditionalStubs } from "./stubs/traditional.js";

/** A guest program; the interface it uses is chosen when it is built, not in its source. */
export interface Guest {
  readonly name: string;
  /** A PVH ELF image, the same bytes for the same options. @throws GuestSourceError */
  build(options: GuestBuildOptions): Uint8Array;
  /** The same with the places of what can be executed in it. @throws GuestSourceError */
  link(options: GuestBuildOptions): LinkedImage;
}

/**
 * Defines a guest. `source` runs once for each build and emits the program that the guest executes after it has
 * found Xen and its console.
 *
 * @example
 * const hello = defineGuest("hello", (g) => g.print("hello\n"));
 * const elf = hello.build({ abi: "linear", vendor: "amd" });
 */
export function defineGuest(name: string, source: (g: GuestProgram) => void): Guest {
  const link = (options: GuestBuildOptions) => linkGuest(name, options, source);
  return { name, build: (options) => link(options).elf, link };
}

function linkGuest(name: string, options: GuestBuildOptions, source: (g: GuestProgram) => void): LinkedImage {
  const console: ConsoleState = { ring: new Label("console ring"), port: new Label("console port") };
  const structs = new Map<string, { readonly label: Label; readonly bytes: number }>();
  const placed = new Map<string, GuestBuffer>();
  const { confidential } = options;
  const inline = inlineInstruction(options);
  const shared = new SharedMemory(confidential);
  const hasHandler = encryptsRegisters(confidential);
  const handler = { ghcb: shared.ghcb, idt: new Label("IDT") };
  const entry = new Label("#VC");
  const terminate = new Label("terminate");
  const lists = isScatterGather(options.abi) ? new BufferLists(options.abi) : undefined;
  let program: GuestProgram | undefined;
  const structBytes = () => Math.max(8, ...[...structs.values()].map(({ bytes }) => bytes));

  return linkPvhImage({
    leaf: options.leaf ?? "4k",
    physical: options.physical,
    sharedPages:
      confidential === undefined
        ? undefined
        : {
            bytes: () => shared.bytes(structBytes(), program?.bufferBytes ?? 0),
            emit: (a) => shared.emit(a, structBytes(), () => program?.emitBuffers()),
          },
    code(a, symbols) {
      const encrypted =
        confidential === undefined ? undefined : ({ bounce: shared.bounce, instruction: "vmmcall" } as const);
      const stubs = stubsFor(options, { ...stubMemory(symbols, structs, placed), encrypted, lists, inline });
      const secure =
        confidential === "sev-snp"
          ? { startInfo: symbols.startInfo, ghcb: shared.ghcb, end: shared.end }
          : undefined;
      if (confidential !== undefined && secure === undefined) shared.emitClear(a);
      if (hasHandler)
        emitExitSetup(a, handler, entry, terminate, () => {
          if (secure !== undefined) emitSecureStart(a, secure, terminate);
        });
      if (secure !== undefined) {
        emitSharePages(a, secure, terminate);
        shared.emitClear(a, shared.bounce);
      }
      const absent = a.label("no Xen");
      const mismatch = a.label("another interface");
      const routines = {
        print: a.label("print"),
        flush: a.label("flush"),
        decimal: a.label("print decimal"),
        hex: a.label("print hex"),
        ratio: a.label("print ratio"),
      };
      const page = encrypted === undefined && inline === undefined ? symbols.hypercallPage : undefined;
      emitFindXen(a, page, absent, furtherPage(options.abi, mismatch));
      emitCheckInterface(a, options.abi, options.vendor, mismatch);
      if (options.abi === "registered") emitRegisterImage(a, symbols.hypercallPage);
      emitConsoleInit(a, stubs, console);
      program = new GuestProgram(options, a, stubs, routines, placed);
      source(program);
      program.shutdown();
      a.bind(mismatch);
      program.print(`${name}: built for ${options.abi}, but this domain has another hypercall interface\n`);
      emitHalt(a);
      a.bind(absent);
      program.print(`${name}: no Xen here\n`);
      emitHalt(a);
      emitConsoleRoutines(a, stubs, console, routines);
      emitNumberRoutines(a, routines.print, routines);
      if (hasHandler) emitExitHandler(a, handler, options.abi, entry, terminate);
    },
    data(a) {
      for (const { label, bytes } of structs.values()) {
        a.align(64);
        a.bind(label);
        a.zeros(bytes);
      }
      lists?.emitData(a);
      a.align(64);
      for (const label of [console.ring, console.port]) {
        a.bind(label);
        a.zeros(8);
      }
      if (hasHandler) {
        a.align(16);
        a.bind(handler.idt);
        a.zeros(EXIT_IDT_BYTES);
      }
      program?.emitData();
    },
  });
}

function stubsFor({ abi, vendor }: GuestBuildOptions, memory: StubMemory): StubEmitter {
  switch (abi) {
    case "fastabi":
      return fastabiStubs(vendor);
    case "linear":
    case "physaddr":
    case "percall":
    case "registered":
    case "sg-frames":
    case "sg-tuples":
    case "sg-descriptor":
      return traditionalStubs(abi, memory);
  }
}

/** What makes calls without a hypercall page. @throws GuestSourceError for an interface whose stubs need one */
function inlineInstruction({
  abi,
  vendor,
  hypercalls = "page",
}: GuestBuildOptions): "vmcall" | "vmmcall" | undefined {
  if (hypercalls === "page") return undefined;
  if (abi !== "linear" && abi !== "physaddr" && abi !== "fastabi")
    throw new GuestSourceError("UNSUPPORTED_BY_ABI", `${abi}: its stubs need a hypercall page`);
  return vendor === "amd" ? "vmmcall" : "vmcall";
}

/** The second page's stubs have the bit that makes pointers physical. */
function furtherPage(abi: AbiName, missing: Label): FurtherPage | undefined {
  return abi === "percall" || isScatterGather(abi) ? { index: 1, missing } : undefined;
}

function isScatterGather(abi: AbiName): boolean {
  return abi === "sg-frames" || abi === "sg-tuples" || abi === "sg-descriptor";
}

function stubMemory(
  symbols: ImageSymbols,
  structs: Map<string, { readonly label: Label; readonly bytes: number }>,
  placed: ReadonlyMap<string, GuestBuffer>,
): StubMemory {
  return {
    hypercallPage: symbols.hypercallPage,
    alignmentFor: ({ name }) => placed.get(name)?.alignment,
    structFor(operation) {
      const own = placed.get(operation.name);
      if (own !== undefined) return own.label;
      let entry = structs.get(operation.name);
      if (!entry) {
        entry = { label: new Label(`struct of ${operation.name}`), bytes: operation.struct?.bytes ?? 0 };
        structs.set(operation.name, entry);
      }
      return entry.label;
    },
  };
}

/** Where a guest ends that has nobody to ask for a shutdown. */
function emitHalt(a: Assembler): void {
  const forever = a.here("halt");
  a.plain("cli");
  a.plain("hlt");
  a.jmp(forever);
}
