/**
 * Physical memory, caches, TLBs, paging formats and timed page walks for the hyperwalk simulator.
 *
 * @packageDocumentation
 */

export type { AccessRights } from "./access-modes.js";
export type { AccessWatch } from "./access-watch.js";
export { Arena, ArenaExhaustedError } from "./arena.js";
export {
  ArmStage1,
  ArmStage2,
  concatenatedTables,
  levelShift,
  levelSpan,
  MAX_CONCATENATED,
  stage1StartLevel,
  stage2StartLevel,
} from "./arm/arm-descriptor.js";
export {
  ArmFault,
  describeFault,
  FaultStatus,
  frameOfPar,
  Par,
  parOfFault,
  parOfFrame,
} from "./arm/arm-fault.js";
export { ArmContextError, ArmMmu, type ArmMmuOptions, type ArmMmuSnapshot } from "./arm/arm-mmu.js";
export {
  ArmAccess,
  type ArmRegime,
  type ArmStage1Context,
  type ArmStage2Context,
  type ArmTableBase,
} from "./arm/arm-regime.js";
export {
  type ArmDescriptor,
  ArmStage1Tables,
  ArmStage2Tables,
  type ArmTableEntry,
  ArmTables,
} from "./arm/arm-tables.js";
export {
  ArmTranslationCaches,
  type ArmTranslationCachesSnapshot,
  EL2_SPACE,
  guestSpace,
  MAX_ASID,
  MAX_VMID,
  type Tlbi,
} from "./arm/arm-translation-caches.js";
export { InnerShareable, type PendingTlbi } from "./arm/inner-shareable.js";
export { CacheHierarchy, type CacheHierarchySnapshot, ServedBy } from "./cache/cache-hierarchy.js";
export { FirstLevelCache, type FirstLevelCacheSnapshot } from "./cache/first-level-cache.js";
export type { BackInvalidate, InclusionPolicy } from "./cache/inclusion-policy.js";
export { InclusiveL3 } from "./cache/inclusive-l3.js";
export { lineHigh, lineLow } from "./cache/line-number.js";
export { LINE_BYTES, LineTags, type LineTagsSnapshot } from "./cache/line-tags.js";
export { NonInclusiveL3 } from "./cache/non-inclusive-l3.js";
export { OuterCache, type OuterCacheSnapshot } from "./cache/outer-cache.js";
export { VictimL3 } from "./cache/victim-l3.js";
export {
  CAUSES,
  Cause,
  type CauseName,
  CycleLedger,
  type LedgerRow,
  type LedgerSnapshot,
  type LedgerState,
  MAX_PHASES,
  type PhaseWatcher,
  TICKS_PER_CYCLE,
  ticks,
} from "./cycle-ledger.js";
export type { Reliance, SequenceLine } from "./line-sequences.js";
export {
  C_BIT,
  ENCRYPTED_FRAME,
  encryptedFrame,
  encryptionKeyOf,
  MAX_ENCRYPTION_KEY,
  plainFrame,
} from "./memory-encryption.js";
export type {
  CacheGeometry,
  MemoryProfile,
  PageSizeName,
  PagingStructureCacheGeometry,
  Replacement,
  ReplacementName,
  TlbGeometry,
} from "./memory-profile.js";
export { type DataAccess, Mmu, type MmuOptions, type MmuSnapshot } from "./mmu.js";
export { MMU_COUNTERS, MmuCounter } from "./mmu-counter.js";
export { EptTables } from "./paging/ept-tables.js";
export { LegacyTables } from "./paging/legacy-tables.js";
export { LongModeTables, linearPage } from "./paging/long-mode-tables.js";
export { NptTables } from "./paging/npt-tables.js";
export { PaeTables } from "./paging/pae-tables.js";
export {
  attributesOf,
  Ept,
  entryHi,
  entryLo,
  frameOf,
  Pte,
  reservedAddressBits,
  tableIndex,
} from "./paging/pte.js";
export { RadixTables, TableEditError, type TableEntry } from "./paging/radix-tables.js";
export { type FrameAllocator, TableMemory, type TableMemoryOptions } from "./paging/table-memory.js";
export {
  FRAME_BYTES,
  type FrameSource,
  PhysicalAddressError,
  PhysicalMemory,
  type PhysicalMemorySnapshot,
} from "./physical-memory.js";
export { RecencyClock } from "./recency-clock.js";
export { LeastRecentlyUsed } from "./replacement/lru.js";
export { type OwnReplacement, ReplacementError } from "./replacement/own-replacement.js";
export { makeReplacement, REPLACEMENT_POLICIES } from "./replacement/policies.js";
export { RandomReplacement } from "./replacement/random.js";
export type { RecencyRing } from "./replacement/recency-ring.js";
export type { ReplacementPolicy } from "./replacement/replacement-policy.js";
export type { SetOrder, SetOrderSnapshot } from "./replacement/set-order.js";
export { StampOrder } from "./replacement/stamp-order.js";
export { TreeOrder } from "./replacement/tree-order.js";
export { TreePlru } from "./replacement/tree-plru.js";
export {
  encodeEntry as encodeReverseMapEntry,
  HYPERVISOR_PAGE,
  LARGE_PAGE_FRAMES,
  ReverseMap,
  type ReverseMapEntry,
  RMP_ENTRY_BYTES,
} from "./reverse-map.js";
export { PagingStructureCache } from "./tlb/paging-structure-cache.js";
export { Rights } from "./tlb/rights.js";
export { Entry, Kind, TlbArray, type TlbArrayGeometry, type TlbArraySnapshot } from "./tlb/tlb-array.js";
export { TlbHierarchy, type TlbHierarchySnapshot } from "./tlb/tlb-hierarchy.js";
export { TlbLevel } from "./tlb/tlb-level.js";
export { TranslationCaches, type TranslationCachesSnapshot } from "./tlb/translation-caches.js";
export {
  type ModificationLog,
  PagingMode,
  type SecondStage,
  TranslationContext,
} from "./translation-context.js";
export {
  EptQualification,
  FaultKind,
  NPF_ENCRYPTED,
  NPF_FINAL,
  NPF_SIZE_MISMATCH,
  NPF_TABLE_WALK,
  PageFaultCode,
  TranslationFault,
} from "./translation-fault.js";
export { PageValidation } from "./walk/page-validation.js";
export { PendingFills } from "./walk/pending-fills.js";
export { probeFrame, probeStage } from "./walk/probe.js";
export { WalkCaches, type WalkCachesSnapshot } from "./walk/walk-caches.js";
