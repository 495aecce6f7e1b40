/**
 * Run, compare and explain Xen hypercall interfaces, cycle by cycle: library and command line.
 *
 * @packageDocumentation
 */

export { ARM_PROFILES, findArmProfile, findProfile, PROFILES } from "@hyperwalk/cpu";
export {
  ARM_LEAVES,
  ARM_PAGES,
  ARM_STATES,
  type ArmCell,
  type ArmCost,
  type ArmDocument,
  type ArmRequest,
  type ArmRow,
  type ArmState,
  armExperiment,
  armPrices,
} from "./arm-experiment.js";
export type {
  ArmHazard,
  ArmHazards,
  ArmInterleavings,
  ArmOutcome,
  ArmPoint,
  ArmTracking,
} from "./arm-hazards.js";
export { type BootDocument, type BootRequest, bootGuest } from "./boot.js";
export { BOOT_EXIT_CODES, exitCodeOf } from "./boot-exit-code.js";
export { type CompareRequest, compare } from "./compare.js";
export { CompareError } from "./compare-error.js";
export {
  DEFAULT_BOOT_INSTRUCTIONS,
  DEFAULT_BOOT_MEMORY,
  DEFAULT_ITERATIONS,
  DEFAULT_MAX_INSTRUCTIONS,
  DEFAULT_MEMORY_MIB,
  DEFAULT_MMIO_HANDLERS,
  DEFAULT_SENSITIVITY_ITERATIONS,
} from "./defaults.js";
export { mergeEstimates } from "./estimates.js";
export type { FastForwardResult } from "./fast-forward.js";
export { FileError } from "./file-error.js";
export {
  elfGuest,
  GUEST_OPERATIONS,
  type Guest,
  type GuestOperation,
  type GuestSettings,
  guestCmdline,
} from "./guest.js";
export {
  BUILT_IN_GUESTS,
  hypercallBench,
  operationLoopGuest,
  programGuest,
  runstateLoop,
} from "./guest-catalogue.js";
export { DocumentError } from "./html/document-error.js";
export { type ChartLibrary, htmlReport, type Report } from "./html/page.js";
export { type InputFile, readReportInput } from "./html/read-input.js";
export type { NamedComparison, ReportInput, SweepResults } from "./html/report-input.js";
export { compareCommandLine, type Reproduction } from "./html/reproduce.js";
export type { SensitivityInputs } from "./html/sensitivity-inputs.js";
export { type LedgerKey, ledgerNames, sumOf } from "./ledger-sums.js";
export { DEFAULT_MEMSLOT_UPDATES } from "./memslot-names.js";
export {
  compareSharedInfoKeys,
  type MemslotsCell,
  type MemslotsDocument,
  type MemslotsRequest,
  type MemslotsSetting,
} from "./memslots.js";
export {
  compareOperations,
  MATRIX_OPERATIONS,
  type MatrixCell,
  type MatrixDocument,
  type MatrixRequest,
  type MatrixRow,
} from "./operation-matrix.js";
export { comparePhases, PHASE_PATH } from "./phase-order.js";
export {
  diffProfiles,
  type KeyedQuantity,
  type NamedNumbers,
  type ProfileCheck,
  type ProfileDiff,
  type ProfileDifference,
  type ProfileSummary,
  profileSummary,
  type ShownProfile,
  shownProfile,
} from "./profile-file/profile-documents.js";
export { ProfileFileError } from "./profile-file/profile-file-error.js";
export {
  PROFILE_SCHEMA,
  type ProfileFile,
  type ProfileFileNumber,
  profileJsonSchema,
} from "./profile-file/profile-schema.js";
export {
  type ExtendedFile,
  type ProfileReading,
  parseProfile,
  readProfile,
} from "./profile-file/read-profile.js";
export { profileHash } from "./profile-hash.js";
export { PUBLISHED, type PublishedFigure, publishedFigure, saving } from "./published.js";
export {
  MARK_MEANING,
  PUBLISHED_STATEMENT,
  PUBLISHED_TRANSPORTS,
  type PublishedMark,
  type PublishedNotification,
  type PublishedTransports,
} from "./published-transports.js";
export {
  type ImportDocument,
  type ImportOptions,
  importXentrace,
  recordingLines,
} from "./recording/import-xentrace.js";
export { parseRecording } from "./recording/parse-recording.js";
export {
  type MixCell,
  type MixDocument,
  type MixRequest,
  type MixRow,
  type MixRun,
  priceMix,
  REPRESENTATIVES,
} from "./recording/price-mix.js";
export {
  type RecordDocument,
  type RecordRequest,
  recordGuest,
} from "./recording/record.js";
export {
  RECORDING_FORMAT,
  RECORDING_VERSION,
  type RecordedCall,
  type RecordedCopy,
  type RecordedEntry,
  type RecordedMix,
  type Recording,
  type RecordingEnd,
  type RecordingHeader,
} from "./recording/recording.js";
export { RecordingError } from "./recording/recording-error.js";
export { BETWEEN, type Between, DEFAULT_FOOTPRINT, RECORDED_ABIS } from "./recording/recording-names.js";
export {
  type RecostDifference,
  type RecostDocument,
  type RecostLeft,
  type RecostOperation,
  type RecostRequest,
  type RecostRun,
  recost,
} from "./recording/recost.js";
export { runName } from "./report/run-name.js";
export {
  ABIS,
  type AbiName,
  type CallResult,
  COMPARED_ABIS,
  type CompareDocument,
  type CountersPerCall,
  type EstimateUsed,
  GUEST_PAGES,
  type GuestPage,
  HOSTS,
  type HostName,
  KVM_ABIS,
  type LedgerCell,
  type MachineSettings,
  type Mitigations,
  P2M_PAGES,
  type P2mPage,
  type RunExit,
  type RunResult,
} from "./result.js";
export { checkExpectations, type ExpectationResult } from "./scenario/expectations.js";
export { type ParsedScenario, parseScenario, type ScenarioSource } from "./scenario/parse-scenario.js";
export { type RunDocument, runScenario } from "./scenario/run-scenario.js";
export {
  SCENARIO_FIGURES,
  type Scenario,
  type ScenarioExpectation,
  type ScenarioFigure,
  type ScenarioGuest,
  type ScenarioSweep,
  type SweepValue,
} from "./scenario/scenario.js";
export { ScenarioError } from "./scenario/scenario-error.js";
export { PartError, type ScenarioParts, scenarioRequest } from "./scenario/scenario-request.js";
export { scenarioJsonSchema } from "./scenario/scenario-schema.js";
export {
  AXIS_KEYS,
  countPoints,
  type PointValues,
  type SweepPoint,
  sweepPoint,
} from "./scenario/sweep-points.js";
export {
  repriced,
  type SensitivityRequest,
  type SensitivityRunning,
  sensitivity,
  sensitivityFigures,
  UnknownEstimateError,
} from "./sensitivity/sensitivity.js";
export {
  JOINT_NOTE,
  type JointInterval,
  type SensitivityDocument,
  type SensitivityEnd,
  type SensitivityFigure,
  type SensitivityInput,
  type SensitivityRest,
} from "./sensitivity/sensitivity-document.js";
export type { SensitivityRun } from "./sensitivity/sensitivity-plan.js";
export type {
  HypercallOutcome,
  KvmSystemFactory,
  SimulatedSystem,
  SystemCounters,
  SystemFactory,
  SystemOptions,
  SystemOutcome,
  SystemWindow,
} from "./simulated-system.js";
export { type SweepDocument, type SweepRow, type SweepRun, sweepRow } from "./sweep/sweep-row.js";
export { foldedStacks } from "./timeline/folded.js";
export {
  type CallSpan,
  type CallTimeline,
  type CauseCycles,
  type HypercallTimeline,
  type HypercallTimelineRequest,
  hypercallTimeline,
} from "./timeline/hypercall-timeline.js";
export { perfettoTrace, type TraceEvent, type TraceEventFile } from "./timeline/perfetto.js";
export {
  type SpeedscopeEvent,
  type SpeedscopeFile,
  type SpeedscopeFrame,
  type SpeedscopeProfile,
  speedscopeFile,
} from "./timeline/speedscope.js";
export { DEFAULT_TIMELINE_ITERATIONS } from "./timeline/timeline-defaults.js";
export { runWithTimeline, type TimelineRequest, type TimelineRun } from "./timeline/timeline-request.js";
export { TraceError } from "./timeline/trace-error.js";
export {
  DEFAULT_TRACED_CALLS,
  MAX_TRACED_SPANS,
  TRACE_FORMATS,
  type TraceFormat,
} from "./timeline/trace-formats.js";
export { type TracedRun, type TraceRequest, traceGuest, traceTitle } from "./timeline/trace-guest.js";
export { traceText } from "./timeline/trace-text.js";
export type { ServedBy } from "./tour-meter.js";
export {
  DEFAULT_NOTIFICATIONS,
  TRANSPORT_HOSTS,
  TRANSPORTS,
  type TransportHost,
  type TransportName,
} from "./transport-names.js";
export {
  type Attestation,
  type BatchResult,
  compareTransports,
  RING_BATCHES,
  TRANSPORT_HANDLERS,
  type TransportResult,
  type TransportsDocument,
  type TransportsRequest,
} from "./transports.js";
export type { ChasePoint, ChaseTable } from "./validation/chase-curves.js";
export {
  FIGURE_MARKS,
  type FigureMark,
  LIKENESS,
  type Likeness,
  type UnaskedFigure,
} from "./validation/figure.js";
export type { PredictedCall, PredictedFault, Predictions } from "./validation/predictions.js";
export type { SavingCycles, SavingInputs, SavingRow } from "./validation/saving-inputs.js";
export {
  type FigureResult,
  type ValidationDocument,
  type ValidationPart,
  type ValidationRequest,
  validate,
} from "./validation/validate.js";
export { LONG_PARTS, VALIDATION_PARTS, type ValidationPartName } from "./validation/validation-parts.js";
export type { FileSource } from "./yaml-file.js";
