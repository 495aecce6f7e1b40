/** Where a traditional hypercall's arguments come from: registers, or an entry of a multicall. */
export interface HypercallArguments {
  /** They are a 32-bit caller's: words of 32 bits, structs of its layout. */
  readonly compat: boolean;
  /** Low word of an argument, from 0. */
  lo(argument: number): number;
  hi(argument: number): number;
}
