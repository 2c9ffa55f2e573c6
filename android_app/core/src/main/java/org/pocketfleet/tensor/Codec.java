package org.pocketfleet.tensor;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How numbers travel: weights in fewer bytes than float32 takes ({@code docs/codecs.md}).
 *
 * <p>Only float32 variables of two or more dimensions are coded; the rest travels as it is. The
 * bytes are the same as those of {@code model_export/codecs.py}.
 */
public final class Codec {
  /** As they are. */
  public static final Codec FLOAT32 = new Codec("float32", 0);

  /** The codecs; clusters come with a number, as in {@code clusters16}. */
  public static final List<String> FAMILIES =
      Collections.unmodifiableList(
          Arrays.asList("float32", "float16", "bfloat16", "int8", "clusters"));

  private static final Pattern CLUSTERS = Pattern.compile("clusters([0-9]{1,3})");
  private static final int MOST_CLUSTERS = 256;
  private static final String FAMILY_OF_CLUSTERS = "clusters";

  private final String family;
  private final int clusters;

  private Codec(String family, int clusters) {
    this.family = family;
    this.clusters = clusters;
  }

  /**
   * Finds a codec.
   *
   * @throws IllegalArgumentException there is none of this name
   */
  public static Codec of(String name) {
    Matcher match = CLUSTERS.matcher(name);
    if (match.matches()) {
      int clusters = Integer.parseInt(match.group(1));
      if (clusters < 2 || clusters > MOST_CLUSTERS) {
        throw new IllegalArgumentException(
            String.format(
                Locale.ROOT, "codec '%s': there can be 2 to %d clusters", name, MOST_CLUSTERS));
      }
      return new Codec(FAMILY_OF_CLUSTERS, clusters);
    }
    if (!FAMILIES.contains(name) || name.equals(FAMILY_OF_CLUSTERS)) {
      throw new IllegalArgumentException("there is no codec '" + name + "'");
    }
    return new Codec(name, 0);
  }

  /** Whether numbers travel as they are. */
  public boolean isPlain() {
    return family.equals("float32");
  }

  /**
   * The tensors that hold variables on the wire, by name of variable or part.
   *
   * @param arrays finite values by variable path
   * @param base coded variables travel as their difference to these; one that is not among them, as
   *     it is
   */
  public Map<String, Tensor> encode(Map<String, Tensor> arrays, Map<String, Tensor> base) {
    Map<String, Tensor> stored = new LinkedHashMap<>();
    for (Map.Entry<String, Tensor> entry : arrays.entrySet()) {
      String name = entry.getKey();
      Tensor value = entry.getValue();
      if (isPlain() || !isCoded(value.shape(), value.type())) {
        stored.put(name, value);
      } else {
        put(stored, name, difference(value, base.get(name)), value.shape());
      }
    }
    return stored;
  }

  /**
   * Reads what {@link #encode} wrote without a base, in whichever codec.
   *
   * @param stored what came, by name of variable or part; trusted in nothing
   * @param like the variables that may come: tensors of their shapes and types
   * @return by variable path, those that came
   * @throws TensorFileException a tensor belongs to no variable, or a variable's parts do not fit
   */
  public static Map<String, Tensor> decode(Map<String, Tensor> stored, Map<String, Spec> like)
      throws TensorFileException {
    Map<String, Tensor> decoded = new LinkedHashMap<>();
    Map<String, Tensor> coded = new LinkedHashMap<>();
    Map<String, int[]> shapes = new LinkedHashMap<>();
    for (Map.Entry<String, Tensor> entry : stored.entrySet()) {
      String key = entry.getKey();
      String name = NarrowTensors.owner(key, like);
      if (name != null && name.equals(key) && !like.get(name).isCoded()) {
        decoded.put(key, entry.getValue());
        continue;
      }
      if (name != null && !like.get(name).isCoded()) {
        throw new TensorFileException(
            "variable '" + name + "' came in parts, but is not coded: '" + key + "'");
      }
      coded.put(key, entry.getValue());
      if (name != null) {
        shapes.put(name, like.get(name).shape);
      }
    }
    decoded.putAll(NarrowTensors.decode(coded, shapes));
    return decoded;
  }

  /** Shape and type of a variable. */
  public static final class Spec {
    private final int[] shape;
    private final DType type;

    /** Describes a variable. */
    public Spec(int[] shape, DType type) {
      this.shape = shape.clone();
      this.type = type;
    }

    private boolean isCoded() {
      return Codec.isCoded(shape, type);
    }
  }

  private static boolean isCoded(int[] shape, DType type) {
    return shape.length >= 2 && type == DType.FLOAT32;
  }

  private static float[] difference(Tensor value, Tensor base) {
    float[] values = new float[value.elements()];
    value.data().asFloatBuffer().get(values);
    if (base != null) {
      ByteBuffer from = base.data();
      for (int place = 0; place < values.length; place++) {
        values[place] -= from.getFloat(4 * place);
      }
    }
    return values;
  }

  private void put(Map<String, Tensor> stored, String name, float[] values, int[] shape) {
    switch (family) {
      case "float16":
        stored.put(name, shorts(DType.FLOAT16, shape, values, Codec::half));
        break;
      case "bfloat16":
        stored.put(name + ":bfloat16", shorts(DType.UINT16, shape, values, Codec::upperHalf));
        break;
      case "int8":
        putCodes(stored, name, values, shape);
        break;
      default:
        putClusters(stored, name, values, shape);
    }
  }

  private static void putCodes(
      Map<String, Tensor> stored, String name, float[] values, int[] shape) {
    float[] scales = new float[shape[shape.length - 1]];
    for (int place = 0; place < values.length; place++) {
      int channel = place % scales.length;
      scales[channel] = Math.max(scales[channel], Math.abs(values[place]));
    }
    for (int channel = 0; channel < scales.length; channel++) {
      // In float24, so that code times scale is exact.
      scales[channel] = Math.max(float24(scales[channel] / 127f), 1e-30f);
    }
    Tensor codes = Tensor.zeros(DType.INT8, shape);
    ByteBuffer data = codes.data();
    for (int place = 0; place < values.length; place++) {
      double code = Math.rint(values[place] / scales[place % scales.length]);
      data.put(place, (byte) Math.max(-127, Math.min(127, code)));
    }
    stored.put(name, codes);
    stored.put(name + ":scale", Tensor.of(scales, scales.length));
  }

  private void putClusters(Map<String, Tensor> stored, String name, float[] values, int[] shape) {
    if (values.length == 0) {
      stored.put(name, Tensor.of(values, shape));
      return;
    }
    KMeans found = new KMeans(values, clusters);
    float[] codebook = found.centres();
    stored.put(name + ":codebook", Tensor.of(codebook, codebook.length));
    int width = NarrowTensors.bits(codebook.length);
    Tensor packed =
        Tensor.zeros(DType.UINT8, (int) (((long) values.length * width + 7) / Byte.SIZE));
    ByteBuffer data = packed.data();
    for (int place = 0; place < values.length; place++) {
      int index = found.indexOf(values[place]);
      for (int bit = 0; bit < width; bit++) {
        long at = (long) place * width + bit;
        int byteAt = (int) (at >> 3);
        data.put(byteAt, (byte) (data.get(byteAt) | (((index >> bit) & 1) << (at & 7))));
      }
    }
    stored.put(name + ":indices", packed);
  }

  /** Two bytes for a float. */
  private interface Narrowing {
    int of(float value);
  }

  private static Tensor shorts(DType type, int[] shape, float[] values, Narrowing narrowing) {
    Tensor tensor = Tensor.zeros(type, shape);
    ByteBuffer data = tensor.data();
    for (int place = 0; place < values.length; place++) {
      data.putShort(2 * place, (short) narrowing.of(values[place]));
    }
    return tensor;
  }

  /** The nearest IEEE 754 half, ties to even; Java itself makes it since version 20 only. */
  private static int half(float value) {
    int bits = Float.floatToRawIntBits(value);
    int sign = (bits >>> 16) & 0x8000;
    int magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      return sign | 0x7e00;
    }
    if (magnitude >= 0x47800000) {
      return sign | 0x7c00;
    }
    if (magnitude < 0x38800000) {
      // Below the smallest normal half all halves are 2^-24 apart.
      return sign | (int) Math.rint(Math.abs((double) value) * 0x1p24);
    }
    int rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
    return sign | ((rounded - 0x38000000) >>> 13);
  }

  private static int upperHalf(float value) {
    return rounded(value, 16) >>> 16;
  }

  private static float float24(float value) {
    return Float.intBitsToFloat(rounded(value, 8));
  }

  /** The bits of a float, with the lowest of its fraction rounded away, ties to even. */
  private static int rounded(float value, int dropped) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return bits;
    }
    int half = (1 << (dropped - 1)) - 1;
    return (bits + half + ((bits >>> dropped) & 1)) & -(1 << dropped);
  }
}
