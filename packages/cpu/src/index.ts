/**
 * x86 decode and execution, instruction timing, VMX and SVM entry and exit for the hyperwalk simulator.
 *
 * @packageDocumentation
 */

export * from "./apic/index.js";
export {
  type ArmProfile,
  type ArmTiming,
  armProfileEstimates,
  armProfileQuantities,
  type ResolvedArmProfile,
  resolveArmProfile,
  withArmOverrides,
} from "./arm-profile.js";
export { Cr0, Cr4, Efer } from "./control-registers.js";
export {
  Activity,
  ARITHMETIC_FLAGS,
  Attention,
  CpuState,
  Dirty,
  Flag,
  Segment,
  SegmentWord,
  Shadow,
  State,
} from "./cpu-state.js";
export { type CpuidSource, ProfileCpuid } from "./cpuid.js";
export { Breakpoints, Dr6, Dr7 } from "./debug/breakpoints.js";
export { DecodeStatus, Instruction } from "./decode/instruction.js";
export type { OpcodeForm } from "./decode/opcode-map.js";
export type { OperandCode } from "./decode/operand-codes.js";
export { Disassembler } from "./disassembler/disassembler.js";
export { EventInDelivery } from "./event-in-delivery.js";
export { Vector } from "./exceptions/vector.js";
export {
  type EngineSnapshot,
  type ExecutionEngine,
  StopReason,
  type UnsupportedInstruction,
} from "./execution-engine.js";
export type { GuestContextSnapshot } from "./guest-context.js";
export {
  DescriptorTableAccess,
  type GuestMode,
  Intercept,
  ioInfo,
  RegisterAccess,
  registerInfo,
} from "./guest-mode.js";
export type { HeldGuest } from "./hardware-guest.js";
export {
  ExitKind,
  emptyVmExit,
  type HardwareVirtualization,
  type VmExit,
} from "./hardware-virtualization.js";
export { type MmioDevice, MmioInstruction } from "./mmio/mmio-instruction.js";
export { ArchitecturalMsrs, type ArchitecturalMsrsSnapshot, Msr, type MsrSource } from "./msr.js";
export { NO_PORTS, type PortSource } from "./port-source.js";
export {
  FAST_FORWARD_PHASE,
  Processor,
  type ProcessorOptions,
  type ProcessorProbes,
  type ProcessorSnapshot,
} from "./processor.js";
export {
  type GroupStop,
  ProcessorGroup,
  type ProcessorGroupOptions,
  type ProcessorGroupSnapshot,
} from "./processor-group.js";
export { ProcessorStorage } from "./processor-storage.js";
export type {
  Basis,
  CoreTiming,
  CpuidLeaf,
  PredictorProfile,
  ProcessorProfile,
  Quantified,
  Quantity,
  ResolvedProfile,
} from "./profile.js";
export type { ImplementedRegister } from "./profiles/implemented-features.js";
export * from "./profiles/index.js";
export { definedCr4 } from "./registers/defined-cr4.js";
export { validXcr0 } from "./registers/extended-state.js";
export { arithmeticFlags } from "./registers/flags.js";
export {
  overridden,
  type ProfileEstimate,
  type ProfileNumber,
  profileEstimates,
  profileQuantities,
  resolveProfile,
  withNumbers,
  withOverrides,
} from "./resolve-profile.js";
export { isAutomaticExit, PAGE_NOT_VALIDATED } from "./sev/exits.js";
export { SEV_COSTS, SNP_COSTS, sevEstimates } from "./sev/sev-costs.js";
export { StopPoint } from "./stop-point.js";
export * from "./svm/index.js";
export { BranchPredictor, type BranchPredictorSnapshot } from "./timing/branch-predictor.js";
export { ALL_DONE, NOBODY, TurnOrder, type TurnTaker } from "./turn-order.js";
export { EventKind, VirtualizationError, type VirtualizedProcessor } from "./virtualized-processor.js";
export * from "./vmx/index.js";
