/** Rounding modes as MXCSR, the x87 control word and the ROUND immediates encode them (SDM vol. 1, 4.8.4). */
export const Rounding = { Nearest: 0, Down: 1, Up: 2, Zero: 3 } as const;
