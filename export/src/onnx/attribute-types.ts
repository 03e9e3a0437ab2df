/** Codes of AttributeProto.AttributeType. */
export const attributeTypeCodes = { float: 1, int: 2, string: 3, tensor: 4, graph: 5, floats: 6, ints: 7, strings: 8 } as const;
