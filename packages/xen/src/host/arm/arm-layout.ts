import type { ArmHostObject } from "./arm-stage.js";

/*
 * Where things are in the machine's memory and in Xen's address space (xen/arch/arm/include/asm/mmu/layout.h), and in the
 * guest's. Numbers are frames unless they are bigints.
 */

/** RAM of the machine: 4 GiB from 0. */
export const MACHINE_FRAMES: number = 0x100000;

/** XEN_VIRT_START. */
export const XEN_VIRT_START: bigint = 0xa0000200000n;
/** Where Xen's image is, 2 MiB of it mapped page by page. */
export const XEN_IMAGE: number = 0x1000;
export const XEN_IMAGE_FRAMES: number = 512;
/** DIRECTMAP_VIRT_START: all RAM in 1 GiB blocks. */
export const DIRECTMAP_VIRT_START: bigint = 0x800000000000n;
/** FRAMETABLE_VIRT_START, in 2 MiB blocks. */
export const FRAMETABLE_VIRT_START: bigint = 0xa0800000000n;
export const FRAME_TABLE: number = 0x10000;
/** Bytes of struct page_info. */
export const PAGE_INFO_BYTES = 56;

/** First frame of Xen's own page tables, and of the p2m's pool (aligned for 16 root tables). */
export const XEN_TABLES: number = 0x2000;
export const P2M_TABLES: number = 0x4000;

/**
 * Homes of {@link ArmHostObject}s: one frame each, `stack` counting down from its end; apart in a 16 KiB way of L1D, as
 * objects of a heap are.
 */
export const OBJECT_FRAME: Readonly<Record<ArmHostObject, number>> = {
  stack: 0x3007,
  vcpu: 0x3010,
  domain: 0x3021,
  percpu: 0x3032,
  data: 0x3043,
};
/** Frames from one processing element's `stack`, `vcpu` and `percpu` to the next one's. */
export const ELEMENT_STRIDE = 0x100;

/** Byte offset of `p2m->lock` in struct domain, and of the fields that the walk reads. */
export const P2M_LOCK_OFFSET = 0x400;
export const P2M_FIELDS_OFFSET = 0x440;

/** GUEST_RAM0_BASE: the guest's RAM, 1 GiB at intermediate physical 1 GiB, machine 2 GiB. */
export const GUEST_RAM: number = 0x40000;
export const GUEST_RAM_MACHINE: number = 0x80000;
/** The guest's translation tables, in its own frames. */
export const GUEST_TABLES: number = 0x7f000;
/** The guest's buffer: two pages in the middle of a table, and of a block. */
export const GUEST_BUFFER: number = 0x4212c;

/** Address of a machine frame in Xen's direct map. */
export function directmap(frame: number, offset: number): bigint {
  return DIRECTMAP_VIRT_START + BigInt(frame) * 4096n + BigInt(offset);
}

/** Address of a frame's struct page_info. */
export function pageInfo(frame: number): bigint {
  return FRAMETABLE_VIRT_START + BigInt(frame * PAGE_INFO_BYTES);
}

/** Address in the guest's linear map of an intermediate physical frame. */
export function guestLinear(vaBits: number, frame: number, offset: number): bigint {
  return (1n << 64n) - (1n << BigInt(vaBits)) + BigInt(frame) * 4096n + BigInt(offset);
}
