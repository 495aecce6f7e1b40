import { Errno } from "@hyperwalk/xen";
import { frameOf, longs, NOWHERE, pointer, type Row, row, SELF, words } from "./row.js";

const { EACCES, EFAULT, EINVAL, ENOENT, EOPNOTSUPP, EPERM, ESRCH } = Errno;
/** Free guest frames: RAM that nothing else uses, and holes above it. */
const RAM_GFN = 0x3000;
const HOLE_GFN = 0x9000;
const E820_BYTES = 20;
const SHARED_INFO = 0;
const GRANT_TABLE = 1;
const GMFN = 2;
const NO_SUCH_SPACE = 6;
const GRANT_FRAMES = 64;
/** GNTMAP_host_map */
const HOST_MAP = 2;

const reservation = (list: Row["struct"], count: number, order = 0, domid = SELF) => ({
  extent_start: list ?? 0,
  nr_extents: count,
  extent_order: order,
  mem_flags: 0,
  domid,
});
const extents = (...gfns: readonly number[]) => longs("list", 0, gfns);

export const MEMORY_ROWS: readonly Row[] = [
  row("memory.memory_map", "first entry", { nr_entries: 1, buffer: pointer("buffer") }, 0, {
    outputs: { nr_entries: 1 },
    look: ({ system, address }) => [...system.domain.guestMemory.readBytes(address("buffer"), 8)],
    seen: [0, 0, 0, 0, 0, 0, 0, 0],
    copies: { from: [16], to: [E820_BYTES, 16] },
  }),
  row("memory.memory_map", "no room", { nr_entries: 0, buffer: pointer("buffer") }, 0, {
    outputs: { nr_entries: 0 },
    copies: { from: [16], to: [16] },
  }),
  row("memory.memory_map", "buffer nowhere", { nr_entries: 1, buffer: NOWHERE }, -EFAULT),
  row("memory.memory_map", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("memory.add_to_physmap", "shared_info", { size: 0, space: SHARED_INFO, idx: 0, gpfn: HOLE_GFN }, 0, {
    look: ({ system }) => system.domain.sharedInfo.gfn,
    seen: HOLE_GFN,
  }),
  row(
    "memory.add_to_physmap",
    "no such frame of shared_info",
    { size: 0, space: SHARED_INFO, idx: 1, gpfn: HOLE_GFN },
    -EINVAL,
  ),
  row(
    "memory.add_to_physmap",
    "a grant frame",
    { size: 0, space: GRANT_TABLE, idx: 0, gpfn: HOLE_GFN + 1 },
    0,
    {
      look: ({ system }) => system.domain.frameHome(system.domain.grantTable.sharedFrame(0)),
      seen: HOLE_GFN + 1,
    },
  ),
  row(
    "memory.add_to_physmap",
    "no such grant frame",
    { size: 0, space: GRANT_TABLE, idx: GRANT_FRAMES, gpfn: HOLE_GFN + 2 },
    -EINVAL,
  ),
  row(
    "memory.add_to_physmap",
    "a frame of its own",
    { size: 0, space: GMFN, idx: RAM_GFN, gpfn: HOLE_GFN + 3 },
    0,
    {
      look: ({ system }) => [
        system.domain.p2m.translate(RAM_GFN) < 0,
        system.domain.p2m.translate(HOLE_GFN + 3) >= 0,
      ],
      seen: [true, true],
    },
  ),
  row("memory.add_to_physmap", "a hole", { size: 0, space: GMFN, idx: RAM_GFN, gpfn: HOLE_GFN + 4 }, -EACCES),
  row(
    "memory.add_to_physmap",
    "of no space",
    { size: 0, space: NO_SUCH_SPACE, idx: 0, gpfn: HOLE_GFN },
    -EINVAL,
  ),
  row(
    "memory.add_to_physmap",
    "for nobody",
    { domid: 77, size: 0, space: SHARED_INFO, idx: 0, gpfn: HOLE_GFN },
    -ESRCH,
  ),
  row(
    "memory.add_to_physmap",
    "for the control domain",
    { domid: 0, size: 0, space: SHARED_INFO, idx: 0, gpfn: HOLE_GFN },
    -EPERM,
  ),
  row("memory.add_to_physmap", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("memory.remove_from_physmap", "a frame", { gpfn: HOLE_GFN + 3 }, 0, {
    look: ({ system }) => system.domain.p2m.translate(HOLE_GFN + 3),
    seen: -1,
  }),
  row("memory.remove_from_physmap", "a hole", { gpfn: HOLE_GFN + 3 }, -ENOENT),
  row("memory.remove_from_physmap", "for nobody", { domid: 77, gpfn: RAM_GFN + 1 }, -ESRCH),
  row("memory.remove_from_physmap", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("memory.decrease_reservation", "two frames", reservation(pointer("list"), 2), 2, {
    before: extents(RAM_GFN + 2, RAM_GFN + 3),
    look: ({ system }) => system.domain.p2m.translate(RAM_GFN + 3),
    seen: -1,
    copies: { from: [32, 8, 8], to: [] },
  }),
  row("memory.decrease_reservation", "until a hole", reservation(pointer("list"), 3), 1, {
    before: extents(RAM_GFN + 4, RAM_GFN + 2, RAM_GFN + 5),
    copies: { from: [32, 8, 8], to: [] },
  }),
  row("memory.decrease_reservation", "list nowhere", reservation(NOWHERE, 1), 0, { uncounted: true }),
  row("memory.decrease_reservation", "too large extents", reservation(pointer("list"), 1, 10), 0, {
    copies: { from: [32], to: [] },
  }),
  row("memory.decrease_reservation", "of nobody", reservation(pointer("list"), 1, 0, 77), 0, {
    copies: { from: [32], to: [] },
  }),
  row("memory.decrease_reservation", "struct nowhere", {}, 0, {
    struct: NOWHERE,
    copies: { from: [], to: [] },
    uncounted: true,
  }),
  row("memory.populate_physmap", "two frames", reservation(pointer("list"), 2), 2, {
    before: extents(RAM_GFN + 2, RAM_GFN + 3),
    look: ({ system }) => system.domain.guestMemory.readU32((RAM_GFN + 3) * 4096),
    seen: 0,
    copies: { from: [32, 8, 8], to: [] },
  }),
  row("memory.populate_physmap", "more than there is", reservation(pointer("list"), 2), 1, {
    before: extents(RAM_GFN + 4, RAM_GFN + 5),
    copies: { from: [32, 8, 8], to: [] },
  }),
  row("memory.populate_physmap", "struct nowhere", {}, 0, { struct: NOWHERE, uncounted: true }),
  row("memory.decrease_reservation", "another frame", reservation(pointer("list"), 1), 1, {
    before: extents(RAM_GFN + 6),
    copies: { from: [32, 8], to: [] },
  }),
  row("memory.increase_reservation", "as much as there is", reservation(0, 2), 1, {
    copies: { from: [32], to: [] },
  }),
  row("memory.increase_reservation", "struct nowhere", {}, 0, { struct: NOWHERE, uncounted: true }),
  row(
    "memory.add_to_physmap_batch",
    "a frame of its own and a hole",
    {
      domid: SELF,
      space: GMFN,
      size: 2,
      foreign_domid: 0,
      idxs: pointer("list"),
      gpfns: pointer("list", 16),
      errs: pointer("buffer"),
    },
    0,
    {
      before: [
        ...longs("list", 0, [RAM_GFN + 7, RAM_GFN + 6]),
        ...longs("list", 16, [HOLE_GFN + 5, HOLE_GFN + 6]),
      ],
      look: ({ system, address }) => [
        system.domain.guestMemory.readU32(address("buffer")) | 0,
        system.domain.guestMemory.readU32(address("buffer") + 4) | 0,
      ],
      seen: [0, -EACCES],
      copies: { from: [32, 8, 8, 8, 8], to: [4, 4] },
    },
  ),
  row(
    "memory.add_to_physmap_batch",
    "of a range",
    { domid: SELF, space: 3, size: 1, foreign_domid: 0, idxs: 0, gpfns: 0, errs: 0 },
    -EOPNOTSUPP,
  ),
  row(
    "memory.add_to_physmap_batch",
    "lists nowhere",
    { domid: SELF, space: GMFN, size: 1, foreign_domid: 0, idxs: NOWHERE, gpfns: 0, errs: 0 },
    -EFAULT,
  ),
  row("memory.add_to_physmap_batch", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row(
    "memory.acquire_resource",
    "of nobody",
    { domid: 77, type: 1, id: 0, nr_frames: 0, pad: 0, frame: 0, frame_list: 0 },
    -ESRCH,
  ),
  row(
    "memory.acquire_resource",
    "of its own",
    { domid: 1, type: 1, id: 0, nr_frames: 0, pad: 0, frame: 0, frame_list: 0 },
    -EPERM,
  ),
  row("memory.acquire_resource", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row(
    "grant_table.map_grant_ref",
    "of nobody's",
    { dom: 77, host_addr: HOLE_GFN * 4096, flags: HOST_MAP, ref: 8 },
    0,
    { outputs: { status: -2 } },
  ),
  row(
    "grant_table.map_grant_ref",
    "an empty entry",
    { dom: 1, host_addr: HOLE_GFN * 4096, flags: HOST_MAP, ref: 8 },
    0,
    { outputs: { status: -1 } },
  ),
  row("grant_table.map_grant_ref", "to nowhere", { dom: 1, host_addr: 0, flags: 0, ref: 8 }, 0, {
    outputs: { status: -3 },
  }),
  row("grant_table.map_grant_ref", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("grant_table.unmap_grant_ref", "no such handle", { host_addr: HOLE_GFN * 4096, handle: 7 }, 0, {
    outputs: { status: -4 },
  }),
  row("grant_table.unmap_grant_ref", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row(
    "grant_table.copy",
    "between two frames of its own",
    {
      source: frameOf("list"),
      source_domid: SELF,
      source_offset: 0x800,
      dest: frameOf("buffer"),
      dest_domid: SELF,
      dest_offset: 0x801,
      len: 3,
      flags: 0,
    },
    0,
    {
      before: words("list", 0x800, 4, 0x030201),
      outputs: { status: 0 },
      look: ({ system, address }) => [...system.domain.guestMemory.readBytes(address("buffer") + 0x801, 3)],
      seen: [1, 2, 3],
      lookups: 2,
    },
  ),
  row(
    "grant_table.copy",
    "of an empty entry",
    {
      source: 8,
      source_domid: SELF,
      source_offset: 0,
      dest: frameOf("buffer"),
      dest_domid: SELF,
      dest_offset: 0,
      len: 3,
      flags: 1,
    },
    0,
    { outputs: { status: -1 } },
  ),
  row("grant_table.copy", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("grant_table.swap_grant_ref", "two entries", { ref_a: 8, ref_b: 9 }, 0, { outputs: { status: 0 } }),
  row("grant_table.swap_grant_ref", "no such entry", { ref_a: 8, ref_b: 5000 }, 0, {
    outputs: { status: -3 },
  }),
  row("grant_table.swap_grant_ref", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("grant_table.query_size", "of its own", {}, 0, {
    outputs: { nr_frames: 1, max_nr_frames: GRANT_FRAMES, status: 0 },
  }),
  row("grant_table.query_size", "of nobody's", { dom: 77 }, 0, { outputs: { status: -2 } }),
  row("grant_table.query_size", "of the control domain's", { dom: 0 }, 0, { outputs: { status: -8 } }),
  row("grant_table.query_size", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("grant_table.get_version", "of its own", {}, 0, { outputs: { version: 1 } }),
  row("grant_table.get_version", "of nobody's", { dom: 77 }, -ESRCH),
  row("grant_table.get_version", "of the control domain's", { dom: 0 }, -EPERM),
  row("grant_table.get_version", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("grant_table.set_version", "to 2", { version: 2 }, 0, {
    look: ({ system }) => system.domain.grantTable.version,
    seen: 2,
  }),
  row("grant_table.set_version", "to 3", { version: 3 }, -EINVAL, {
    look: ({ system }) => system.domain.grantTable.version,
    seen: 2,
  }),
  row("grant_table.set_version", "back to 1", { version: 1 }, 0),
  row("grant_table.set_version", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("grant_table.setup_table", "two frames", { dom: SELF, nr_frames: 2, frame_list: pointer("list") }, 0, {
    outputs: { status: 0 },
    look: ({ system, address, longBytes }) => [
      system.domain.guestMemory.readU32(address("list")),
      system.domain.guestMemory.readU32(address("list") + longBytes),
    ],
    before: longs("list", 0, [7, 7]),
    seen: [HOLE_GFN + 1, 0xffffffff],
    // A frame that is mapped nowhere is ~0: no 32-bit number.
    for32: { outputs: { status: -11 }, seen: [HOLE_GFN + 1, 7] },
    copies: { from: [24], to: [8, 8, 2] },
  }),
  row(
    "grant_table.setup_table",
    "too many",
    { dom: SELF, nr_frames: GRANT_FRAMES + 1, frame_list: pointer("list") },
    0,
    {
      outputs: { status: -1 },
      copies: { from: [24], to: [2] },
    },
  ),
  row("grant_table.setup_table", "list nowhere", { dom: SELF, nr_frames: 1, frame_list: NOWHERE }, 0, {
    outputs: { status: -5 },
    uncounted: true,
  }),
  row("grant_table.setup_table", "of nobody's", { dom: 77, nr_frames: 1, frame_list: 0 }, 0, {
    outputs: { status: -2 },
    copies: { from: [24], to: [2] },
  }),
  row("grant_table.setup_table", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  // What FIFO event channels will need is RAM of the guest's: it is where it was.
  row("memory.remove_from_physmap", "what is not there", { gpfn: 0x700001 }, -ENOENT),
];
