/** Bytes of one stub, and stubs of a page. */
const STUB_BYTES = 32;
const STUBS = 128;
const IRET = 23;
const INT3 = 0xcc;

/**
 * Contents of the hypercall page (`{svm,vmx}_init_hypercall_page`): int3 everywhere, then at 32·n `mov $n,%eax`, the
 * vendor's hypercall instruction, `ret`; stub 23 (iret) is `ud2`. The same bytes serve 32- and 64-bit callers.
 */
export function hypercallPage(instruction: readonly number[]): Uint8Array {
  const page = new Uint8Array(STUBS * STUB_BYTES).fill(INT3);
  for (let n = 0; n < STUBS; n++) {
    const stub = n === IRET ? [0x0f, 0x0b] : [0xb8, n, 0, 0, 0, ...instruction, 0xc3];
    page.set(stub, n * STUB_BYTES);
  }
  return page;
}
