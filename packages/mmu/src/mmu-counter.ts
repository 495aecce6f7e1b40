/** Indices into `Mmu.counters`. First-level hits are not counted: they cost nothing and are the rest. */
export const MmuCounter = {
  /** Data accesses (not walk references) that L2 served. */
  DataL2: 0,
  DataL3: 1,
  DataDram: 2,
  /** Instruction fetches that L2 served. */
  FetchL2: 3,
  FetchL3: 4,
  FetchDram: 5,
  /** First-level data TLB misses. */
  DtlbMisses: 6,
  /** … of those, found in the second level. */
  DtlbSecondLevelHits: 7,
  ItlbMisses: 8,
  ItlbSecondLevelHits: 9,
  /** Hardware walks, including those that faulted. */
  Walks: 10,
  /** Walks because a cached translation did not permit the access or its dirty flag was clear. */
  Rewalks: 11,
  /** Table entries read by walks: guest plus second stage. */
  WalkReferences: 12,
  GuestReferences: 13,
  SecondStageReferences: 14,
  /** Walk references by the level that served them. */
  WalkL1: 15,
  WalkL2: 16,
  WalkL3: 17,
  WalkDram: 18,
  /** Guest-physical addresses translated for walks and pages, cached or not. */
  SecondStageTranslations: 19,
  NestedTlbHits: 20,
  PagingStructureHits: 21,
  NestedPagingStructureHits: 22,
  /** Accessed and dirty flags that a walk had to set, one per entry written. */
  AccessedDirtyUpdates: 23,
  PageFaults: 24,
  SecondStageFaults: 25,
  /** INVLPG, MOV CR3, INVPCID, INVVPID, INVEPT, INVLPGA and whole flushes. */
  Invalidations: 26,
  /** Accesses that needed two pages. */
  PageCrossings: 27,
  Length: 28,
} as const;

/** Counter names in the order of their indices, for reports. */
export const MMU_COUNTERS: readonly string[] = Object.keys(MmuCounter).filter((name) => name !== "Length");
