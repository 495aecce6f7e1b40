/** An operation that Xen does not have, as `hyperwalk stubs` reads it. */
export const MEMORY_SUM = `name: memory_sum
hypercall_index: 64
doc: Arithmetic on the guest's own memory.
structs:
  memory_sum:
    bytes: 24
    fields:
      address: { offset: 0, type: u64 }
      words: { offset: 8, type: u32 }
      sum: { offset: 16, type: u64 }
subops:
  add_up:
    index: 0
    doc: Adds up words.
    input: { address: 2, words: 3 }
    output: { sum: 4 }
    c_lang: { struct: memory_sum }
`;
