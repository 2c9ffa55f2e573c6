package org.pocketfleet.tensor;

import java.util.Locale;

/** Element types that travel and that models use, by their names in NumPy. */
public enum DType {
  BOOL("bool", "BOOL", "|b1", 1),
  INT8("int8", "I8", "|i1", 1),
  UINT8("uint8", "U8", "|u1", 1),
  INT16("int16", "I16", "<i2", 2),
  UINT16("uint16", "U16", "<u2", 2),
  INT32("int32", "I32", "<i4", 4),
  UINT32("uint32", "U32", "<u4", 4),
  INT64("int64", "I64", "<i8", 8),
  UINT64("uint64", "U64", "<u8", 8),
  FLOAT16("float16", "F16", "<f2", 2),
  FLOAT32("float32", "F32", "<f4", 4),
  FLOAT64("float64", "F64", "<f8", 8);

  private final String numpyName;
  private final String safetensorsName;
  private final String npyDescriptor;
  private final int bytes;

  DType(String numpyName, String safetensorsName, String npyDescriptor, int bytes) {
    this.numpyName = numpyName;
    this.safetensorsName = safetensorsName;
    this.npyDescriptor = npyDescriptor;
    this.bytes = bytes;
  }

  /** What NumPy, manifests and messages call it: {@code float32}. */
  public String numpyName() {
    return numpyName;
  }

  /** What safetensors files call it: {@code F32}. */
  public String safetensorsName() {
    return safetensorsName;
  }

  /** What little-endian {@code .npy} files call it: {@code <f4}. */
  public String npyDescriptor() {
    return npyDescriptor;
  }

  /** Bytes of one element. */
  public int bytes() {
    return bytes;
  }

  /**
   * Finds a type by its name in NumPy.
   *
   * @throws IllegalArgumentException there is no such type
   */
  public static DType ofNumpy(String name) {
    for (DType type : values()) {
      if (type.numpyName.equals(name)) {
        return type;
      }
    }
    throw new IllegalArgumentException(
        String.format(Locale.ROOT, "unknown element type '%s'", name));
  }

  /** Finds a type by its name in safetensors files; null: there is no such type. */
  public static DType ofSafetensors(String name) {
    for (DType type : values()) {
      if (type.safetensorsName.equals(name)) {
        return type;
      }
    }
    return null;
  }
}
