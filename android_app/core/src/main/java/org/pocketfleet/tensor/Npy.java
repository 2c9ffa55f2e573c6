package org.pocketfleet.tensor;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * NumPy's {@code .npy} format, for arrays of numbers.
 *
 * <p>Nothing of it is evaluated: the header has one form that NumPy writes, and nothing else is
 * accepted.
 */
public final class Npy {
  /** Most bytes that {@link Header#read} looks at. */
  public static final int MAX_HEADER_BYTES = 12 + 4096;

  private static final int ALIGNMENT = 64;
  private static final int MAX_DESCRIPTION = 4096;
  private static final int GROWTH_DIGITS = 21;
  private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
  private static final Pattern DESCRIPTION =
      Pattern.compile(
          "\\{'descr': '([<>|=]?[biuf][1248])', 'fortran_order': (True|False), "
              + "'shape': \\(((?:[0-9]{1,18}(?:, ?|,?(?=\\)))){0,32})\\), \\} *\\n");

  private Npy() {}

  /** The header that NumPy writes before the little-endian, row-major data of such an array. */
  public static byte[] header(DType type, int[] shape) {
    StringBuilder text = new StringBuilder("{'descr': '").append(type.npyDescriptor());
    text.append("', 'fortran_order': False, 'shape': (");
    for (int at = 0; at < shape.length; at++) {
      text.append(at == 0 ? "" : " ").append(shape[at]);
      text.append(at < shape.length - 1 || at == 0 ? "," : "");
    }
    text.append("), }");
    // NumPy leaves room for the first extent to grow in place.
    int room = shape.length == 0 ? 0 : GROWTH_DIGITS - String.valueOf(shape[0]).length();
    int unpadded = MAGIC.length + 4 + text.length() + room + 1;
    int total = (unpadded + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    byte[] header = new byte[total];
    Arrays.fill(header, (byte) ' ');
    System.arraycopy(MAGIC, 0, header, 0, MAGIC.length);
    int length = total - MAGIC.length - 4;
    header[6] = 1;
    header[7] = 0;
    header[8] = (byte) length;
    header[9] = (byte) (length >> 8);
    byte[] ascii = text.toString().getBytes(StandardCharsets.US_ASCII);
    System.arraycopy(ascii, 0, header, MAGIC.length + 4, ascii.length);
    header[total - 1] = '\n';
    return header;
  }

  /**
   * Reads a whole file.
   *
   * @param file from position to limit; the tensor is a view of it, unless the data has another
   *     order than a tensor's
   * @throws TensorFileException the bytes are not a well-formed file of numbers
   */
  public static Tensor read(ByteBuffer file) throws TensorFileException {
    ByteBuffer data = file.slice();
    Header header = Header.read(data);
    if (header.bytes() != data.remaining()) {
      throw new TensorFileException(
          data.remaining() + " bytes of data where " + header + " needs " + header.bytes());
    }
    return header.tensor(data);
  }

  /** What stands before the data. */
  public static final class Header {
    private final DType type;
    private final long[] shape;
    private final boolean bigEndian;
    private final boolean columnMajor;

    private Header(DType type, long[] shape, boolean bigEndian, boolean columnMajor) {
      this.type = type;
      this.shape = shape;
      this.bigEndian = bigEndian;
      this.columnMajor = columnMajor;
    }

    /**
     * Reads a header.
     *
     * @param file the beginning of the file; its position moves to the beginning of the data
     * @throws TensorFileException this is not the header of an array of numbers
     */
    public static Header read(ByteBuffer file) throws TensorFileException {
      byte[] start = new byte[Math.min(file.remaining(), MAX_HEADER_BYTES)];
      file.duplicate().get(start);
      if (start.length < 12
          || !Arrays.equals(Arrays.copyOf(start, MAGIC.length), MAGIC)
          || start[6] < 1
          || start[6] > 3) {
        throw new TensorFileException("its data does not begin as a .npy file does");
      }
      int prefix = start[6] == 1 ? 10 : 12;
      long length = 0;
      for (int at = prefix - 1; at >= 8; at--) {
        length = (length << 8) | (start[at] & 0xff);
      }
      if (length > Math.min(MAX_DESCRIPTION, start.length - prefix)) {
        throw notNumbers();
      }
      String text = new String(start, prefix, (int) length, StandardCharsets.ISO_8859_1);
      Matcher found = DESCRIPTION.matcher(text);
      if (!found.matches()) {
        throw notNumbers();
      }
      String descriptor = found.group(1);
      DType type = Npy.type(descriptor);
      if (type == null) {
        throw notNumbers();
      }
      file.position(file.position() + prefix + (int) length);
      return new Header(
          type, extents(found.group(3)), descriptor.startsWith(">"), found.group(2).equals("True"));
    }

    /** The element type. */
    public DType type() {
      return type;
    }

    /** A copy of the extents. */
    public long[] shape() {
      return shape.clone();
    }

    /** How many bytes of data follow; {@code Long.MAX_VALUE} if a long cannot hold it. */
    public long bytes() {
      return Shapes.bytes(type, shape);
    }

    /**
     * Makes a tensor of the data that followed.
     *
     * @param data {@link #bytes()} bytes, from position to limit; not copied if they are row-major
     *     and little-endian
     * @throws TensorFileException no tensor has such a shape
     */
    public Tensor tensor(ByteBuffer data) throws TensorFileException {
      int[] extents = Shapes.narrow(shape);
      if (extents == null) {
        throw new TensorFileException("an extent is too large in " + this);
      }
      boolean swap = bigEndian && type.bytes() > 1;
      boolean move = columnMajor && shape.length > 1;
      Tensor asTheyAre = new Tensor(type, extents, data);
      return swap || move ? reordered(asTheyAre, extents, swap) : asTheyAre;
    }

    @Override
    public String toString() {
      return type.numpyName() + Arrays.toString(shape);
    }

    /** Copies each element to where it belongs. */
    private Tensor reordered(Tensor source, int[] extents, boolean swap) {
      Tensor target = Tensor.zeros(type, extents);
      ByteBuffer from = source.data();
      ByteBuffer to = target.data();
      int width = type.bytes();
      int[] index = new int[extents.length];
      for (int row = 0; row < target.elements(); row++) {
        int element = columnMajor ? columnMajorPosition(index, extents) : row;
        for (int at = 0; at < width; at++) {
          to.put(row * width + at, from.get(element * width + (swap ? width - 1 - at : at)));
        }
        advance(index, extents);
      }
      return target;
    }

    private static int columnMajorPosition(int[] index, int[] extents) {
      int position = 0;
      for (int axis = extents.length - 1; axis >= 0; axis--) {
        position = position * extents[axis] + index[axis];
      }
      return position;
    }

    private static void advance(int[] index, int[] extents) {
      for (int axis = extents.length - 1; axis >= 0; axis--) {
        index[axis]++;
        if (index[axis] < extents[axis]) {
          return;
        }
        index[axis] = 0;
      }
    }

    private static long[] extents(String text) throws TensorFileException {
      String[] parts = text.replace(" ", "").split(",", -1);
      long[] extents = new long[parts.length];
      int length = 0;
      for (String part : parts) {
        if (!part.isEmpty()) {
          extents[length++] = Long.parseLong(part);
        }
      }
      if (length > Shapes.MAX_DIMENSIONS) {
        throw new TensorFileException(length + " dimensions");
      }
      return Arrays.copyOf(extents, length);
    }

    private static TensorFileException notNumbers() {
      return new TensorFileException("its .npy header is not one of an array of numbers");
    }
  }

  /** How many bytes such an array has; {@code Long.MAX_VALUE} if a long cannot hold it. */
  public static long bytes(DType type, long[] shape) {
    return Shapes.bytes(type, shape);
  }

  /**
   * Finds a type by NumPy's name ({@code float32}) or descriptor ({@code <f4}, in either byte
   * order); null: it is not one of numbers.
   */
  public static DType type(String name) {
    boolean ordered = !name.isEmpty() && "<>|=".indexOf(name.charAt(0)) >= 0;
    String bare = ordered ? name.substring(1) : name;
    for (DType type : DType.values()) {
      if (type.npyDescriptor().substring(1).equals(bare)
          || (!ordered && type.numpyName().equals(name))) {
        return type;
      }
    }
    return null;
  }
}
