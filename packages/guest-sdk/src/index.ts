/**
 * Write guests for the hyperwalk simulator: machine code, hypercall stubs for each ABI, PVH images.
 *
 * @packageDocumentation
 */

export * from "./assembler/assembler.js";
export { AssemblerError, CodeBuffer, type FixupKind, type Origin } from "./assembler/code-buffer.js";
export type { CodeBits } from "./assembler/encoding.js";
export * from "./assembler/label.js";
export * from "./assembler/memory.js";
export {
  ALU,
  type AluOperation,
  Condition,
  type ConditionName,
  PLAIN,
  type PlainInstruction,
  SHIFT,
  type ShiftOperation,
  UNARY,
  type UnaryOperation,
} from "./assembler/opcodes.js";
export * from "./assembler/register.js";
export { DoorbellStub, NOTIFY_TRANSPORTS, type NotifyTransport } from "./doorbell/doorbell-stub.js";
export { defineGuest, type Guest } from "./guest.js";
export {
  DEFAULT_GUEST_ITERATIONS,
  GuestBuffer,
  type GuestBuildOptions,
  GuestProgram,
  HypercallResult,
  type RoutineLabels,
  type Value,
} from "./guest-program.js";
export { GuestSourceError } from "./guest-source-error.js";
export { type NotifyForeverOptions, notifyForever } from "./guests/notify-forever.js";
export { type NotifyLoopOptions, notifyLoop } from "./guests/notify-loop.js";
export { LOOPED_OPERATIONS, type OperationLoopOptions, operationLoop } from "./guests/operation-loop.js";
export { OPERATION_SAMPLES, type OperationSample, type SampleTools } from "./guests/operation-samples.js";
export {
  type OperationTour,
  operationTour,
  TOUR_REPEATS,
  type TourOptions,
} from "./guests/operation-tour.js";
export { type ReplayOptions, replayGuest, stepBytes } from "./guests/replay.js";
export {
  MAX_REPLAY_SITES,
  type ReplayCall,
  type ReplayInput,
  type ReplayPlace,
  type ReplayStep,
  siteKey,
} from "./guests/replay-sites.js";
export { runstateLoop } from "./guests/runstate-loop.js";
export { spinForever } from "./guests/spin-forever.js";
export { type ElfSegment, PHYS32_ENTRY, writeElf, type XenNote } from "./image/elf.js";
export { type LeafSize, leafBytes, type Mapping, MappingError, PageTables } from "./image/page-tables.js";
export {
  buildPvhImage,
  IMAGE_LINEAR,
  IMAGE_PHYSICAL,
  type ImageSource,
  type ImageSymbols,
  type LinkedImage,
  linkPvhImage,
  type SharedPages,
} from "./image/pvh-image.js";
export { hypercallBenchImage } from "./images/hypercall-bench.gen.js";
export { BufferLists } from "./stubs/buffer-lists.js";
export { descriptorOf } from "./stubs/descriptor-of.js";
export { FASTABI_BIT, fastabiStubs } from "./stubs/fastabi.js";
export type {
  ConsoleIoStubs,
  DomctlStubs,
  EventChannelStubs,
  GrantTableStubs,
  HvmStubs,
  HypercallStubs,
  MemoryStubs,
  MulticallStubs,
  OperationName,
  PhysdevStubs,
  PlatformOpStubs,
  SchedStubs,
  SetTimerOpStubs,
  SysctlStubs,
  VcpuStubs,
  VersionStubs,
  VmAssistStubs,
} from "./stubs/operations.gen.js";
export type { AbiName, Operand, StubEmitter, StubMemory, Vendor } from "./stubs/stub-emitter.js";
export { type TraditionalAbiName, traditionalStubs } from "./stubs/traditional.js";
export { Variable, VariablePool } from "./variable.js";
