/**
 * Domains, vCPUs, p2m, guest access, hypercall ABIs and their path costs for the hyperwalk simulator.
 *
 * @packageDocumentation
 */

export type { ArgumentRegisters } from "./abi/argument-registers.js";
export type { AbiParts, DomainAbi } from "./abi/domain-abi.js";
export { FASTABI_MASK, FastAbi } from "./abi/fastabi.js";
export { type FastAbiOptions, fastabi } from "./abi/fastabi-domain.js";
export { RfcFastAbi } from "./abi/fastabi-rfc.js";
export type { HypercallAbi } from "./abi/hypercall-abi.js";
export type { HypercallArguments } from "./abi/hypercall-arguments.js";
export { LinearAbi } from "./abi/linear.js";
export { FlavourAbi, type PercallOptions, PHYSICAL_FLAVOUR, percall } from "./abi/percall.js";
export { PhysaddrAbi } from "./abi/physaddr.js";
export { PointerAbi } from "./abi/pointer-abi.js";
export {
  REGISTER_BUFFER,
  REGISTER_BUFFER_DESCRIPTORS,
  RegisteredAbi,
  registered,
} from "./abi/registered.js";
export { DOMAIN_ABIS } from "./abi/registry.js";
export { isKept, ScatterGatherAbi, scatterGather } from "./abi/scatter-gather.js";
export { type MeasuredMemory, type MeasuredRange, measureMemory } from "./attestation/measurement.js";
export { sha256, sha256Hex } from "./attestation/sha256.js";
export * from "./boot/index.js";
export { CONFIDENTIAL_KINDS, type ConfidentialKind, encryptsRegisters } from "./confidential.js";
export type { CappedTextSnapshot, ConsoleSnapshot } from "./console.js";
export {
  CappedText,
  CONSOLE_GFN,
  CONSOLE_TEXT_LIMIT,
  Console,
  type ConsoleMemory,
  type ConsoleSource,
} from "./console.js";
export { ConsoleStream } from "./console-stream.js";
export type { Continuation } from "./continuation.js";
export { CpuidPolicy, type CpuidPolicyOptions, HYPERCALL_PAGE_MSR, XEN_CPUID_BASE } from "./cpuid-policy.js";
export {
  DOORBELL_GFN,
  DOORBELL_PORT,
  Doorbell,
  type DoorbellBackend,
  DoorbellRegister,
  DoorbellRing,
} from "./devices/doorbell.js";
export type { PortDevice } from "./devices/port-device.js";
export { Domain, type DomainOptions, type DomainSnapshot } from "./domain.js";
export { checkCreateFlags, DomainCreate } from "./domain-create.js";
export { DomainList } from "./domain-list.js";
export {
  DOORBELL_HANDLERS,
  type DoorbellConfig,
  type DoorbellHandlerName,
  HYPERCALL_FIXUPS,
  type HypercallFixup,
  type ResolvedDoorbell,
} from "./doorbell-config.js";
export { Errno } from "./errno.js";
export type { TwoLevelEventsOptions } from "./event-2l.js";
export { TwoLevelEvents } from "./event-2l.js";
export type { EventAbi } from "./event-abi.js";
export {
  DOMID_SELF,
  EventChannels,
  type EventChannelsOptions,
  type EventChannelsSnapshot,
  type ResetRoom,
} from "./event-channel.js";
export type { FifoEventsOptions, FifoEventsSnapshot } from "./event-fifo.js";
export { FifoEvents } from "./event-fifo.js";
export type { PortRecordsOptions } from "./event-record.js";
export { PortRecords } from "./event-record.js";
export {
  type AccountRow,
  type ExitAccount,
  ExitAccounting,
  type ExitAccountingSnapshot,
} from "./exit-accounting.js";
export type { FastForward, FastForwardTarget } from "./fast-forward.js";
export { FrameAllocator, type FrameAllocatorSnapshot, OutOfFramesError } from "./frame-allocator.js";
export { GrantCopier, type GrantCopyEnd, type GrantCopyRequest } from "./grant-copy.js";
export { ActiveEntries, type GrantRecordsOptions } from "./grant-entries.js";
export type { GrantMapRequest, GrantMapResult } from "./grant-map.js";
export {
  type GrantHeader,
  GrantTable,
  type GrantTableOptions,
  type GrantTableSnapshot,
} from "./grant-table.js";
export type { EmulatorAccess } from "./guest-access/emulator-access.js";
export { FlavouredAccess } from "./guest-access/flavoured.js";
export type { GuestAccess } from "./guest-access/guest-access.js";
export type { GuestWalkStages, WalkedMemory, WalkRegisters } from "./guest-access/guest-walk.js";
export { GuestWalker } from "./guest-access/guest-walk.js";
export { type CopyListener, HvmCopy, type HvmCopyOptions } from "./guest-access/hvm-copy.js";
export { LinearAccess } from "./guest-access/linear.js";
export { PhysicalAccess } from "./guest-access/physical.js";
export { PiecewiseAccess } from "./guest-access/piecewise.js";
export {
  MAX_REGISTERED,
  RegisteredAccess,
  RegisteredBuffers,
  type RegisteredBuffersSnapshot,
} from "./guest-access/registered.js";
export {
  MAX_TUPLES,
  SCATTER_GATHER_FORMS,
  ScatterGatherAccess,
  type ScatterGatherForm,
} from "./guest-access/scatter-gather.js";
export type { GuestArea, GuestAreaSnapshot, GuestAreas, GuestAreasSnapshot } from "./guest-areas.js";
export { type FrameTranslation, GuestAddressError, GuestMemory } from "./guest-memory.js";
export type { GuestPages } from "./guest-pages.js";
export {
  DEFAULT_MAX_CYCLES,
  GuestSystem,
  type GuestSystemEvents,
  type RunBudget,
  type SystemListeners,
  type SystemVcpu,
} from "./guest-system.js";
export * from "./host/arm/index.js";
export { DeadlockError } from "./host/deadlock-error.js";
export {
  DOMAIN_LOCKS,
  type DomainLockName,
  DomainLocks,
  type DomainLocksSnapshot,
} from "./host/domain-locks.js";
export { exitName } from "./host/exit-name.js";
export { type FrameOwner, FrameTable, type OwnedFrames } from "./host/frame-table.js";
export { GuestCodeMode, GuestRegisters } from "./host/guest-registers.js";
export { HostMemory, type HostView, type PeerFrames, type SecureMemory } from "./host/host-memory.js";
export type { Homes } from "./host/host-objects.js";
export type { Hypervisor } from "./host/hypervisor.js";
export { EventFd, EventFds, type EventFdsSnapshot, type EventFdWaiter } from "./host/kvm/eventfd.js";
export {
  EvtchnPorts,
  type EvtchnPortsSnapshot,
  type EvtchnTarget,
} from "./host/kvm/evtchn-ports.js";
export {
  type CacheOwner,
  GfnToPfnCache,
  type GfnToPfnCacheSnapshot,
} from "./host/kvm/gfn-to-pfn-cache.js";
export {
  type IrqfdOwner,
  Irqfds,
  type IrqfdsSnapshot,
  type KvmIrqfd,
  type KvmIrqRoutingEntry,
} from "./host/kvm/irqfd.js";
export {
  finish,
  KernelMutex,
  type KernelSteps,
  WAIT,
} from "./host/kvm/kernel-steps.js";
export {
  type KvmConfig,
  type ResolvedKvmConfig,
  RSB_FILLS,
  type RsbFill,
  SHARED_INFO_KEYS,
  type SharedInfoKey,
} from "./host/kvm/kvm-config.js";
export type { KvmHost, KvmHostSnapshot } from "./host/kvm/kvm-host.js";
export type { KvmThreadsSnapshot } from "./host/kvm/kvm-threads.js";
export type { KvmVcpu, KvmVcpuSnapshot } from "./host/kvm/kvm-vcpu.js";
export { KvmVcpuXen, type KvmVcpuXenSnapshot, VCPU_INFO_BYTES } from "./host/kvm/kvm-vcpu-xen.js";
export { KvmVm, type KvmVmOptions, type KvmVmSnapshot } from "./host/kvm/kvm-vm.js";
export { KvmXenCounters, type KvmXenCountersSnapshot } from "./host/kvm/kvm-xen-counters.js";
export type { KvmXenVcpu } from "./host/kvm/kvm-xen-vcpu.js";
export {
  type DeliveryOutcome,
  type DeliveryPath,
  EVENT_SENDERS,
  type EventDuringUpdate,
  type EventSender,
  eventsDuringMemslotUpdate,
  MEMSLOT_UPDATES,
  type MemslotEventsOptions,
  type MemslotEventsResult,
  type MemslotUpdate,
} from "./host/kvm/memslot-events.js";
export {
  KVM_HVA_ERR_BAD,
  KVM_MEMSLOT_INVALID,
  MEMSLOT_STEPS,
  type MemorySlot,
  type MemslotChange,
  type MemslotListener,
  type MemslotStep,
  Memslots,
  type MemslotsSnapshot,
} from "./host/kvm/memslots.js";
export { SlotAccess, type SlotAccessOptions } from "./host/kvm/slot-access.js";
export { TdpFault, TdpMmu, type TdpMmuOptions, type TdpMmuSnapshot } from "./host/kvm/tdp-mmu.js";
export type { Words64 } from "./host/kvm/u64.js";
export * from "./host/kvm/uapi.js";
export {
  MAPPING_STEPS,
  type MappingStep,
  type MmuNotifier,
  TASK_SIZE,
  UserAddressError,
  UserAddressSpace,
  type UserAddressSpaceSnapshot,
  type UserMapping,
} from "./host/kvm/user-address-space.js";
export type { HvmAttrOf, VcpuAttrOf } from "./host/kvm/xen-attributes.js";
export { type EventsOwner, EWOULDBLOCK, type KvmXenEvtchn, XenEvents } from "./host/kvm/xen-events.js";
export { XenHcallExit, type XenHcallExitSnapshot } from "./host/kvm/xen-hcall-exit.js";
export type {
  HypervHypercalls,
  KernelHypercalls,
  XenHypercalls,
  XenHypercallsSnapshot,
} from "./host/kvm/xen-hypercalls.js";
export { type RunstateOwner, XenRunstate, type XenRunstateSnapshot } from "./host/kvm/xen-runstate.js";
export { type SharedInfoOwner, XenSharedInfo } from "./host/kvm/xen-shared-info.js";
export { type TimerOwner, XenTimer, type XenTimerSnapshot } from "./host/kvm/xen-timer.js";
export type { Pcpu } from "./host/pcpu.js";
export { type RunOutcome, SHUTDOWN_REASONS, type ShutdownName } from "./host/run-outcome.js";
export { type ShadowControl, ShadowExit, ShadowExitKind } from "./host/shadow-control.js";
export {
  type LockInterval,
  LockMode,
  type LockSnapshot,
  type RunningProcessor,
  SimulatedLock,
} from "./host/simulated-lock.js";
export { EncryptedRegisters } from "./host/svm/encrypted-registers.js";
export {
  Ghcb,
  GhcbAnswer,
  GhcbInfo,
  GhcbRefusal,
  HYPERVISOR_SNP,
  PAGE_STATE_EVENT,
  PageOperation,
  PageStateEntry,
  PageStateError,
  PageStateList,
  validBit,
} from "./host/svm/ghcb-layout.js";
export type { GhcbRequestsSnapshot } from "./host/svm/ghcb-requests.js";
export { SecurePages } from "./host/svm/secure-pages.js";
export type { VcpuContext, VcpuSegment } from "./host/vcpu-context.js";
export type {
  EncryptedVcpu,
  SecondStageRoot,
  VcpuControl,
  VcpuControlSnapshot,
} from "./host/vcpu-control.js";
export type {
  VcpuLoop,
  VcpuLoopOptions,
  VcpuLoopSnapshot,
  VcpuReset,
  VmExitEvent,
} from "./host/vcpu-loop.js";
export type { VcpuRegisters } from "./host/vcpu-registers.js";
export type { TurnEnd, TurnHost, TurnVcpu, VcpuTurns, VcpuTurnsSnapshot } from "./host/vcpu-turns.js";
export type { HvmVcpu, VcpuRecord } from "./host/xen/hvm-vcpu.js";
export type { HypercallEvent, HypercallHandler } from "./host/xen/hypercall-handler.js";
export type { NullScheduler, NullSchedulerSnapshot } from "./host/xen/null-scheduler.js";
export type { InterruptStages, VirtualInterrupts } from "./host/xen/virtual-interrupts.js";
export type { XenHost } from "./host/xen/xen-host.js";
export type {
  GuestCopyEvent,
  HypercallBeginEvent,
  HypercallMode,
  HypercallObserver,
  MulticallEntryEvent,
} from "./hypercall-observer.js";
export { hypercallPage } from "./hypercall-page.js";
export { HypervisorCounters, type HypervisorCountersSnapshot } from "./hypervisor-counters.js";
export { createKvmSystem, KvmSystem, type KvmSystemOptions } from "./kvm.js";
export { LogDirty, type LogDirtyOptions, type LogDirtySnapshot } from "./log-dirty.js";
export { type GrantMapping, Maptrack, type MaptrackSnapshot } from "./maptrack.js";
export {
  type Instant,
  type MeasuredWindow,
  type SystemCounters,
  WindowRecorder,
  type WindowRecorderSnapshot,
} from "./measured-window.js";
export { MemoryPaging, type MemoryPagingSnapshot } from "./memory-paging.js";
export {
  MemorySharing,
  type MemorySharingOptions,
  type MemorySharingSnapshot,
} from "./memory-sharing.js";
export {
  type MigratedEvents,
  type MigratedMsrs,
  type MigratedPage,
  MigrationError,
  type MigrationRecord,
} from "./migration/migration-record.js";
export type { KvmAttributesSnapshot } from "./monitor/kvm-attributes.js";
export type { MemoryRegionsSnapshot } from "./monitor/memory-regions.js";
export type { Monitor } from "./monitor/monitor.js";
export { MONITORS, type MonitorName } from "./monitor/qemu-operations.js";
export type { MsrPolicySnapshot } from "./msr-policy.js";
export type { MulticallEntry } from "./multicall-entry.js";
export * from "./operations/descriptors.gen.js";
export {
  DOORBELL_HYPERCALL,
  DOORBELL_MMIO_WRITE_DESCRIPTOR,
  DOORBELL_NOTIFY_DESCRIPTOR,
} from "./operations/doorbell.js";
export { OPERATIONS, operationTable } from "./operations/index.js";
export type {
  Constituents,
  Operation,
  OperationCall,
  OperationDescriptor,
  OperationField,
} from "./operations/operation.js";
export { type OwnCall, ownOperation } from "./operations/own-operation.js";
export {
  type GfnRange,
  type LeafCounts,
  P2m,
  type P2mFixups,
  type P2mOptions,
  type WriteLog,
} from "./p2m.js";
export { P2mRights, P2mType } from "./p2m-type.js";
export {
  FaultVerdict,
  PageConditions,
  type PageConditionsOptions,
  type PageConditionsSnapshot,
} from "./page-conditions.js";
export type { PageOwnership } from "./page-ownership.js";
export {
  applyPrices,
  checkStagePrices,
  isStagePrice,
  type PricedMachine,
  stagePriceKeys,
} from "./path-cost/apply-prices.js";
export { composeStage } from "./path-cost/compose.js";
export { KvmPhase, type KvmPhaseName } from "./path-cost/kvm-phases.js";
export type { PathCost, PhasedPathCost, StageId } from "./path-cost/path-cost.js";
export { HYPERVISOR_PHASES, Phase } from "./path-cost/phases.js";
export type { HostObject, PerVendor, Stage, Touch } from "./path-cost/stage.js";
export { StageOverrides, type StagePriceRecord } from "./path-cost/stage-overrides.js";
export {
  HostAccessError,
  type HostObjectHome,
  type StageEstimate,
  StagePathCost,
  type StagePathCostOptions,
  type StagePathCostSnapshot,
} from "./path-cost/stage-path-cost.js";
export type { WarmBranches } from "./path-cost/warm-branches.js";
export type { TextPlace } from "./path-cost/xen-text.js";
export { XenText } from "./path-cost/xen-text.js";
export { MAX_PEERS, type PeerConfig, type ResolvedPeerConfig } from "./peer-config.js";
export { PeerDomain, type PeerDomainOptions, type PeerSnapshot, type PortStatus } from "./peer-domain.js";
export { Runstate, type RunstateSnapshot } from "./runstate.js";
export type { GuestControl } from "./shadow/guest-control.js";
export {
  ShadowFault,
  type ShadowHardware,
  type ShadowPaging,
  type ShadowSnapshot,
} from "./shadow/shadow-paging.js";
export type { VirtualTlb } from "./shadow/virtual-tlb.js";
export { SharedInfo } from "./shared-info.js";
export { decodeSnapshot, encodeSnapshot, SNAPSHOT_VERSION } from "./snapshot/encoding.js";
export type { PlainData } from "./snapshot/plain-data.js";
export { SnapshotError, type SnapshotProblem } from "./snapshot/snapshot-error.js";
export type {
  KvmSystemSnapshot,
  PcpuSnapshot,
  SystemIdentity,
  XenSystemSnapshot,
} from "./snapshot/system-snapshot.js";
export { parseEpt, parseSpecCtrl } from "./spec-ctrl.js";
export { type TicksByCause, TimelineRecorder } from "./timeline/timeline-recorder.js";
export type {
  CauseTicks,
  TimelineHypercall,
  TimelineListener,
  TimelineSpan,
  TimelineStretch,
} from "./timeline/timeline-stretch.js";
export { Vcpu, type VcpuOptions, type VcpuRunner, type VcpuSnapshot } from "./vcpu.js";
export type { VcpuEventsOptions, VcpuEventsSnapshot } from "./vcpu-events.js";
export { VcpuEvents } from "./vcpu-events.js";
export type { VcpuTimers, VcpuTimersSnapshot } from "./vcpu-timers.js";
export { Viridian, type ViridianSnapshot } from "./viridian/viridian.js";
export { VIRIDIAN_DEFAULTS, VIRIDIAN_GROUPS, type ViridianGroup } from "./viridian/viridian-group.js";
export { ViridianHypercalls } from "./viridian/viridian-hypercalls.js";
export { VIRQ_TIMER } from "./virq.js";
export { Vlapic, type VlapicOptions, type VlapicSnapshot } from "./vlapic.js";
export {
  createXenSystem,
  XenSystem,
  type XenSystemEvents,
  type XenSystemOptions,
} from "./xen.js";
export {
  BHB_SEQUENCES,
  type BhbSequence,
  type DomainConfig,
  HYPERCALL_ABIS,
  type HypercallAbiName,
  MAX_VCPUS,
  PAGINGS,
  type PagingName,
  type ResolvedDomainConfig,
  type ResolvedXenConfig,
  resolveDomainConfig,
  resolveXenConfig,
  type XenConfig,
  XenConfigError,
} from "./xen-config.js";
export type { StoreAccess, StoreNode, StorePermission, StoreView } from "./xenstore/store-node.js";
export type { StoreRingSnapshot } from "./xenstore/store-ring.js";
export {
  type StoreError,
  StoreMessage,
  type StorePacket,
  StoreServer,
  type StoreServerSnapshot,
  type StoreWatch,
} from "./xenstore/store-server.js";
export type { StoreTransactionSnapshot } from "./xenstore/store-transaction.js";
export { type StoreNodeData, StoreTree, type StoreTreeSnapshot } from "./xenstore/store-tree.js";
export { Xenstore } from "./xenstore/xenstore.js";
export { parseXlConfig, type XlConfig, xlDomainConfig } from "./xl/xl-config.js";
export { XlConfigError, type XlConfigErrorCode } from "./xl/xl-config-error.js";
