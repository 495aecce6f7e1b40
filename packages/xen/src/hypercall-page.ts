/** Bytes of one stub, and stubs of a page. */
const STUB_BYTES = 32;
const STUBS = 128;
const IRET = 23;
const INT3 = 0xcc;

/** or $0x80000000, %eax: tells a Hyper-V call from one of Xen's. */
const MARK = [0x0d, 0x00, 0x00, 0x00, 0x80] as const;

/** Contents of Hyper-V's hypercall page (`enable_hypercall_page`): one stub at its start, for every call; then int3. */
export function viridianHypercallPage(instruction: readonly number[]): Uint8Array {
  const page = new Uint8Array(STUBS * STUB_BYTES).fill(INT3);
  page.set([...MARK, ...instruction, 0xc3]);
  return page;
}

/**
 * Contents of the hypercall page (`{svm,vmx}_init_hypercall_page`): int3 everywhere, then at 32·n `mov $n,%eax`, the
 * vendor's hypercall instruction, `ret`; stub 23 (iret) is `ud2`. The same bytes serve 32- and 64-bit callers.
 * @param bits of every stub's number, above the stub's own
 */
export function hypercallPage(instruction: readonly number[], bits = 0): Uint8Array {
  const page = new Uint8Array(STUBS * STUB_BYTES).fill(INT3);
  for (let n = 0; n < STUBS; n++) {
    const stub = n === IRET ? [0x0f, 0x0b] : [0xb8, ...numberBytes(n | bits), ...instruction, 0xc3];
    page.set(stub, n * STUB_BYTES);
  }
  return page;
}

/** The same of KVM (`kvm_xen_write_hypercall_page`), where stub 23 is one like all others. */
export function kvmHypercallPage(instruction: readonly number[]): Uint8Array {
  const page = hypercallPage(instruction);
  page.set([0xb8, ...numberBytes(IRET), ...instruction, 0xc3], IRET * STUB_BYTES);
  return page;
}

function numberBytes(number: number): readonly number[] {
  return [0, 8, 16, 24].map((shift) => (number >>> shift) & 0xff);
}
