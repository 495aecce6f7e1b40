/** Sources that many stages share; commit c447b7308b13, release build. */
export const COUNTED =
  "counted on real Xen c447b7308b13, release build: instructions retired around one call, minimum of 64";
export const COUNTED_BY_DIFFERENCE: string = `${COUNTED}; by difference`;
/** VMX was counted as totals only; its stages split the difference to SVM's. */
export const VMX_SHARE =
  "SVM's count, and for VMX a share of the 201 instructions by which its base path (848 counted without the guest's own) is longer than SVM's (647): the sum is counted, the shares are estimates";
