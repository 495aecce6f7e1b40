import { ArmPhase, type ArmStage } from "./arm-stage.js";

const READ = "read from the source of Xen c447b7308b, not counted";

type Parts = Omit<ArmStage, "name" | "phase" | "instructions" | "range" | "basis" | "source" | "form">;

function stage(
  name: string,
  phase: string,
  form: ArmStage["form"],
  instructions: number,
  range: readonly [number, number],
  from: string,
  parts: Parts = {},
): ArmStage {
  return { name, phase, form, instructions, range, basis: "estimate", source: `${READ}: ${from}`, ...parts };
}

/** What every hypercall passes on its way in. */
export const HYPERCALL_ENTRY: readonly ArmStage[] = [
  stage(
    "guest_sync, entry",
    ArmPhase.EntryAssembly,
    "both",
    62,
    [50, 75],
    "arm64/entry.S: the fast-path test of HVC #0, 16 register pairs, guest state; check_pending_guest_serror, which serrors=diverse (the default) runs",
    {
      sysregReads: 11,
      dsb: 1,
      isb: 1,
      touches: [{ object: "stack", offsets: [0, 64, 128, 192, 256], write: true }],
    },
  ),
  stage(
    "enter_hypervisor_from_guest",
    ArmPhase.EntryAssembly,
    "both",
    90,
    [50, 200],
    "traps.c, gic-vgic.c: HCR_VA test, vgic_sync_from_lrs with no list register in use: one lock, ICH_HCR_EL2",
    {
      exclusives: 1,
      dmb: 2,
      sysregReads: 1,
      sysregWrites: 1,
      touches: [
        { object: "vcpu", offsets: [0, 0x240, 0x480] },
        { object: "percpu", offsets: [0] },
      ],
    },
  ),
  stage(
    "do_trap_guest_sync",
    ArmPhase.ExitHandler,
    "both",
    30,
    [15, 60],
    "traps.c: the switch on ESR_EL2.EC, HVC64",
    { touches: [{ object: "stack", offsets: [320], write: true }] },
  ),
  stage(
    "do_trap_hypercall",
    ArmPhase.Dispatch,
    "both",
    35,
    [20, 60],
    "traps.c: the immediate, call_handlers_arm's switch, preemption flags",
    { touches: [{ object: "vcpu", offsets: [0x40], write: true }] },
  ),
];

/** The body of an operation with one structure, without the copy. */
export const OPERATION: ArmStage = stage(
  "operation",
  ArmPhase.Operation,
  "both",
  90,
  [40, 200],
  "an operation of about the size of VCPUOP_get_runstate_info: 758 - 710 = 48 instructions on x86 and its caller's frame",
  {
    touches: [
      { object: "stack", offsets: [384, 448], write: true },
      { object: "domain", offsets: [0] },
    ],
  },
);

/** The loop of `copy_guest`, once a page, without the translation: sizes, direct-map arithmetic, call of memcpy. */
export const COPY_PAGE: ArmStage = stage(
  "copy_guest",
  ArmPhase.Copy,
  "both",
  70,
  [45, 110],
  "guestcopy.c, mm.h: min, page_to_mfn, directmap arithmetic, memcpy of some 48 bytes",
  { touches: [{ object: "stack", offsets: [512], write: true }] },
);

/** `p2m_read_lock`: atomic_add_return (LDXR, STLXR, DMB ISH) and preemption. */
export const READ_LOCK: ArmStage = stage(
  "p2m_read_lock",
  ArmPhase.P2mLock,
  "both",
  16,
  [10, 24],
  "rwlock.h, arm64/atomic.h",
  { exclusives: 1, dmb: 1, touches: [{ object: "percpu", offsets: [64], write: true }] },
);

/** `p2m_read_unlock`: DMB ISH, then LDXR, STXR. */
export const READ_UNLOCK: ArmStage = stage(
  "p2m_read_unlock",
  ArmPhase.P2mLock,
  "both",
  12,
  [8, 20],
  "rwlock.h, arm64/atomic.h",
  { exclusives: 1, dmb: 1 },
);

/** `mfn_valid`, `mfn_to_page`, `get_page`: a compare-and-exchange between two DMB ISH. */
export const GET_PAGE: ArmStage = stage(
  "get_page",
  ArmPhase.PageReference,
  "both",
  48,
  [35, 70],
  "mm.c, pdx.c, arm64/cmpxchg.h: mfn_valid, page_get_owner_and_nr_reference",
  { exclusives: 1, dmb: 2, touches: [{ object: "data", offsets: [0, 64] }] },
);

export const PUT_PAGE: ArmStage = stage(
  "put_page",
  ArmPhase.PageReference,
  "both",
  22,
  [16, 32],
  "mm.c, arm64/cmpxchg.h",
  { exclusives: 1, dmb: 2 },
);

/** VA: `translate_get_page`, `get_page_from_gva` around the instruction. */
export const GET_PAGE_FROM_GVA: ArmStage = stage(
  "get_page_from_gva",
  ArmPhase.AddressTranslation,
  "va",
  34,
  [24, 50],
  "guestcopy.c, p2m.c: two frames, v != current, the test of PAR_EL1.F",
  { touches: [{ object: "stack", offsets: [576], write: true }] },
);

/** VA: `gva_to_ma_par`: PAR_EL1 saved, AT, ISB, PAR_EL1 read and put back. */
export const AT_S12E1: ArmStage = stage(
  "gva_to_ma_par",
  ArmPhase.AddressTranslation,
  "va",
  14,
  [9, 20],
  "arm64/page.h",
  { at: 1, isb: 1, sysregReads: 2, sysregWrites: 1 },
);

/** PA: `translate_get_page`, `get_page_from_gfn`, `p2m_get_page_from_gfn` around the walk. */
export const GET_PAGE_FROM_GFN: ArmStage = stage(
  "p2m_get_page_from_gfn",
  ArmPhase.P2mLookup,
  "pa",
  52,
  [36, 75],
  "guestcopy.c, p2m.h, p2m.c: two frames, dom_xen, the tests of the type, mfn_valid, foreign pages",
  { touches: [{ object: "stack", offsets: [576], write: true }] },
);

/** `p2m_get_entry` without its levels: offsets, `max_mapped_gfn`, the root table, the leaf's type and address. */
export const GET_ENTRY: ArmStage = stage(
  "p2m_get_entry",
  ArmPhase.P2mLookup,
  "pa",
  58,
  [40, 85],
  "mmu/p2m.c: DECLARE_OFFSETS, p2m_get_root_pointer, superpage arithmetic",
  { touches: [{ object: "stack", offsets: [640], write: true }] },
);

/** One level of it: `p2m_next_level` and the loop. */
export const NEXT_LEVEL: ArmStage = stage(
  "p2m_next_level",
  ArmPhase.P2mLookup,
  "pa",
  18,
  [12, 28],
  "mmu/p2m.c: validity by type, mapping or table, directmap arithmetic",
);

/** Second attempt: `guest_walk_tables` and `guest_walk_ld` without their levels. */
export const GUEST_WALK: ArmStage = stage(
  "guest_walk_ld",
  ArmPhase.GuestWalk,
  "va",
  130,
  [90, 200],
  "guest_walk.c: TCR_EL1 decoded, the half, the granule, the start level, output size",
  { sysregReads: 5, touches: [{ object: "stack", offsets: [704, 768], write: true }] },
);

/** One level of it, without `access_guest_memory_by_gpa`, which is a copy by intermediate physical address. */
export const GUEST_WALK_LEVEL: ArmStage = stage(
  "guest_walk_ld: level",
  ArmPhase.GuestWalk,
  "va",
  40,
  [28, 60],
  "guest_walk.c: index, call, base size, block or table, permissions gathered",
);

/** What every hypercall passes on its way out. */
export const HYPERCALL_EXIT: readonly ArmStage[] = [
  stage(
    "leave_hypervisor_to_guest",
    ArmPhase.ReturnPath,
    "both",
    120,
    [70, 260],
    "traps.c, gic-vgic.c: vCPU and softirq work, gic_restore_pending_irqs with nothing pending (one lock), SError synchronised",
    {
      exclusives: 1,
      dmb: 2,
      dsb: 1,
      isb: 1,
      touches: [
        { object: "vcpu", offsets: [0x480, 0x4c0] },
        { object: "percpu", offsets: [0, 128] },
      ],
    },
  ),
  stage(
    "exit_guest, return_from_trap",
    ArmPhase.ExitAssembly,
    "both",
    38,
    [34, 46],
    "arm64/entry.S: guest state, 16 register pairs",
    { sysregWrites: 7, touches: [{ object: "stack", offsets: [0, 64, 128, 192, 256] }] },
  ),
];

/** All of them, for lists of what figures rest on. */
export const ARM_STAGES: readonly ArmStage[] = [
  ...HYPERCALL_ENTRY,
  OPERATION,
  COPY_PAGE,
  READ_LOCK,
  READ_UNLOCK,
  GET_PAGE,
  PUT_PAGE,
  GET_PAGE_FROM_GVA,
  AT_S12E1,
  GET_PAGE_FROM_GFN,
  GET_ENTRY,
  NEXT_LEVEL,
  GUEST_WALK,
  GUEST_WALK_LEVEL,
  ...HYPERCALL_EXIT,
];
