package org.pocketfleet.tensor;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Reads variables that are stored in as few bytes as their number format needs ({@code
 * docs/bundle.md}). The parts of a variable are tensors called {@code <variable>} and {@code
 * <variable>:<part>}.
 */
public final class NarrowTensors {
  private static final String MASK = "mask";
  private static final String SCALE = "scale";
  private static final String INDICES = "indices";
  private static final String CODEBOOK = "codebook";
  private static final int MANTISSA_OF_HALF = 10;
  private static final int FLOAT_MANTISSA = 23;

  private NarrowTensors() {}

  /**
   * Decodes all variables to float32.
   *
   * @param stored the tensors of the file
   * @param shapes the variables, and the shape of each
   * @throws TensorFileException a variable is missing, is not wanted, or does not fit its shape
   */
  public static Map<String, Tensor> decode(Map<String, Tensor> stored, Map<String, int[]> shapes)
      throws TensorFileException {
    Map<String, Map<String, Tensor>> grouped = new LinkedHashMap<>();
    for (String name : shapes.keySet()) {
      grouped.put(name, new HashMap<>());
    }
    for (Map.Entry<String, Tensor> entry : stored.entrySet()) {
      String key = entry.getKey();
      String name = owner(key, grouped);
      if (name == null) {
        throw new TensorFileException("tensor '" + key + "' is not among the variables");
      }
      String part = name.length() == key.length() ? "" : key.substring(name.length() + 1);
      grouped.get(name).put(part, entry.getValue());
    }
    Map<String, Tensor> decoded = new LinkedHashMap<>();
    for (Map.Entry<String, Map<String, Tensor>> entry : grouped.entrySet()) {
      String name = entry.getKey();
      try {
        decoded.put(name, dense(entry.getValue(), shapes.get(name)));
      } catch (TensorFileException error) {
        throw new TensorFileException("variable '" + name + "': " + error.getMessage());
      }
    }
    return decoded;
  }

  /** The variable that a tensor belongs to: the longest beginning, up to a colon, that is one. */
  static String owner(String key, Map<String, ?> names) {
    int end = key.length();
    while (end >= 0 && !names.containsKey(key.substring(0, end))) {
      end = end == 0 ? -1 : key.lastIndexOf(':', end - 1);
    }
    return end < 0 ? null : key.substring(0, end);
  }

  private static Tensor dense(Map<String, Tensor> parts, int[] shape) throws TensorFileException {
    Tensor plain = parts.get("");
    if (parts.size() == 1
        && plain != null
        && plain.type() == DType.FLOAT32
        && plain.hasShape(shape)) {
      return plain;
    }
    int count = Math.toIntExact(Tensor.elements(shape));
    boolean[] kept = mask(parts.get(MASK), count);
    int keptCount = 0;
    for (boolean one : kept) {
      keptCount += one ? 1 : 0;
    }
    float[] values = values(parts, keptCount);
    float[] dense = new float[count];
    int next = 0;
    for (int place = 0; place < count; place++) {
      dense[place] = kept[place] ? values[next++] : 0;
    }
    scale(dense, parts.get(SCALE), shape);
    return Tensor.of(dense, shape);
  }

  private static boolean[] mask(Tensor packed, int count) throws TensorFileException {
    boolean[] kept = new boolean[count];
    if (packed == null) {
      Arrays.fill(kept, true);
      return kept;
    }
    int[] bits = unpack(packed, 1, count);
    for (int place = 0; place < count; place++) {
      kept[place] = bits[place] == 1;
    }
    return kept;
  }

  private static void scale(float[] values, Tensor scale, int[] shape) throws TensorFileException {
    if (scale == null) {
      return;
    }
    int last = shape.length == 0 ? 1 : shape[shape.length - 1];
    int scales = scale.elements();
    if (scale.type() != DType.FLOAT32 || (!scale.hasShape() && !scale.hasShape(last))) {
      throw new TensorFileException(scale + " scales do not fit " + Arrays.toString(shape));
    }
    FloatBuffer factors = scale.data().asFloatBuffer();
    for (int place = 0; place < values.length; place++) {
      values[place] *= factors.get(place % scales);
    }
  }

  /** The values that the mask has kept, or all. */
  private static float[] values(Map<String, Tensor> parts, int count) throws TensorFileException {
    if (parts.containsKey(INDICES)) {
      return looked(parts, count);
    }
    if (parts.containsKey("bfloat16")) {
      ByteBuffer data = exactly(parts.get("bfloat16"), DType.UINT16, count);
      return each(count, place -> Float.intBitsToFloat(data.getShort(2 * place) << 16));
    }
    if (parts.containsKey("float24")) {
      ByteBuffer data = exactly(parts.get("float24"), DType.UINT8, 3L * count);
      return each(count, place -> Float.intBitsToFloat(threeBytes(data, 3 * place)));
    }
    if (parts.containsKey("int4")) {
      int[] codes = unpack(parts.get("int4"), 4, count);
      return each(count, place -> codes[place] > 7 ? codes[place] - 16 : codes[place]);
    }
    Tensor plain = parts.get("");
    if (plain == null) {
      throw new TensorFileException("no values among the parts " + parts.keySet());
    }
    ByteBuffer data = exactly(plain, plain.type(), count);
    switch (plain.type()) {
      case FLOAT32:
        return each(count, place -> data.getFloat(4 * place));
      case FLOAT16:
        return each(count, place -> ofHalf(data.getShort(2 * place)));
      case INT8:
        return each(count, data::get);
      default:
        throw new TensorFileException("values of type " + plain.type().numpyName());
    }
  }

  private static float[] looked(Map<String, Tensor> parts, int count) throws TensorFileException {
    Map<String, Tensor> inner = new HashMap<>();
    int size = 0;
    for (Map.Entry<String, Tensor> part : parts.entrySet()) {
      if (part.getKey().startsWith(CODEBOOK)) {
        String name = part.getKey().substring(CODEBOOK.length());
        inner.put(name.isEmpty() ? name : name.substring(1), part.getValue());
        int[] shape = part.getValue().shape();
        size = shape.length == 0 ? 0 : shape[0];
      }
    }
    if (size == 0) {
      throw new TensorFileException("the codebook is empty");
    }
    float[] codebook = values(inner, size);
    int[] indices = unpack(parts.get(INDICES), bits(size), count);
    float[] found = new float[count];
    for (int place = 0; place < count; place++) {
      if (indices[place] >= size) {
        throw new TensorFileException("an index lies outside the codebook of " + size + " values");
      }
      found[place] = codebook[indices[place]];
    }
    return found;
  }

  /** How many bits an index into so many values has. */
  static int bits(int size) {
    return Math.max(1, Integer.SIZE - Integer.numberOfLeadingZeros(size - 1));
  }

  private static ByteBuffer exactly(Tensor tensor, DType type, long elements)
      throws TensorFileException {
    if (tensor.type() != type || tensor.elements() != elements) {
      throw new TensorFileException(
          tensor + " does not hold " + elements + " of " + type.numpyName());
    }
    return tensor.data();
  }

  /** Numbers of a few bits, without gaps, the lowest bit first. */
  private static int[] unpack(Tensor packed, int width, int count) throws TensorFileException {
    ByteBuffer data = exactly(packed, DType.UINT8, ((long) count * width + 7) / Byte.SIZE);
    int[] numbers = new int[count];
    for (int place = 0; place < count; place++) {
      for (int bit = 0; bit < width; bit++) {
        long at = (long) place * width + bit;
        numbers[place] |= ((data.get((int) (at >> 3)) >> (at & 7)) & 1) << bit;
      }
    }
    return numbers;
  }

  private static int threeBytes(ByteBuffer data, int at) {
    return ((data.get(at) & 0xff) << 8)
        | ((data.get(at + 1) & 0xff) << 16)
        | ((data.get(at + 2) & 0xff) << 24);
  }

  /** IEEE 754 half precision; Java itself reads it since version 20 only. */
  private static float ofHalf(short half) {
    int exponent = (half >> MANTISSA_OF_HALF) & 0x1f;
    int mantissa = half & 0x3ff;
    float magnitude;
    if (exponent == 0) {
      magnitude = mantissa * 0x1p-24f;
    } else if (exponent == 0x1f) {
      magnitude = mantissa == 0 ? Float.POSITIVE_INFINITY : Float.NaN;
    } else {
      int bits =
          ((exponent + 112) << FLOAT_MANTISSA) | (mantissa << (FLOAT_MANTISSA - MANTISSA_OF_HALF));
      magnitude = Float.intBitsToFloat(bits);
    }
    return half < 0 ? -magnitude : magnitude;
  }

  /** What a place holds. */
  private interface Value {
    float at(int place);
  }

  private static float[] each(int count, Value value) {
    float[] values = new float[count];
    for (int place = 0; place < count; place++) {
      values[place] = value.at(place);
    }
    return values;
  }
}
