package org.pocketfleet.data;

import java.io.EOFException;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Locale;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import org.pocketfleet.bundle.Manifest;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Npy;
import org.pocketfleet.tensor.Tensor;
import org.pocketfleet.tensor.TensorFileException;

/**
 * Samples in an {@code .npz} file, as {@code numpy.savez} and {@code savez_compressed} write it:
 * {@code x} ({@code uint8 [n, H, W, C]} or floating point {@code [n, ...]}) and {@code y} (whole
 * numbers {@code [n]}).
 */
public final class NpzData implements DataSource {
  private static final int BLOCK = 1 << 16;

  private final File file;

  /** Names the file. */
  public NpzData(File file) {
    this.file = file;
  }

  @Override
  public Dataset load(Manifest manifest) throws DataException {
    if (!file.exists()) {
      throw new DataException(file + ": no such data file or folder");
    }
    Tensor x = null;
    Tensor y = null;
    try (ZipInputStream zip = new ZipInputStream(new FileInputStream(file))) {
      for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
        if (entry.getName().equals("x.npy")) {
          x = once(x, zip, "x");
        } else if (entry.getName().equals("y.npy")) {
          y = once(y, zip, "y");
        }
      }
    } catch (IOException | TensorFileException | IllegalArgumentException error) {
      throw new DataException(file + ": not a readable .npz file: " + error.getMessage(), error);
    }
    if (x == null || y == null) {
      throw new DataException(
          String.format(
              Locale.ROOT,
              "%s: holds no array '%s'; it needs x (samples) and y (labels)",
              file,
              x == null ? "x" : "y"));
    }
    return Dataset.of(pixelsOrFloats(x), wholeNumbers(y), file.toString(), manifest);
  }

  private Tensor once(Tensor before, InputStream in, String name)
      throws IOException, TensorFileException {
    if (before != null) {
      throw new IOException("it holds " + name + " twice");
    }
    byte[] start = new byte[Npy.MAX_HEADER_BYTES];
    int length = read(in, start, start.length);
    ByteBuffer beginning = ByteBuffer.wrap(start, 0, length);
    Npy.Header header = Npy.Header.read(beginning);
    // The number is believed only as far as the file can hold it: deflate never does better.
    if (header.bytes() > Math.min(Integer.MAX_VALUE, 1032 * file.length() + BLOCK)) {
      throw new IOException(name + " is " + header + ", which this file cannot hold");
    }
    int bytes = (int) header.bytes();
    ByteBuffer data = ByteBuffer.allocateDirect(bytes);
    beginning.limit(Math.min(beginning.limit(), beginning.position() + bytes));
    data.put(beginning);
    byte[] block = new byte[BLOCK];
    while (data.hasRemaining()) {
      int count = in.read(block, 0, Math.min(block.length, data.remaining()));
      if (count < 0) {
        throw new EOFException(name + " is " + header + " and ends too early");
      }
      data.put(block, 0, count);
    }
    data.flip();
    return header.tensor(data);
  }

  private static int read(InputStream in, byte[] into, int most) throws IOException {
    int length = 0;
    while (length < most) {
      int count = in.read(into, length, most - length);
      if (count < 0) {
        break;
      }
      length += count;
    }
    return length;
  }

  private Tensor pixelsOrFloats(Tensor x) throws DataException {
    switch (x.type()) {
      case UINT8:
      case FLOAT32:
        return x;
      case FLOAT64:
        Tensor narrow = Tensor.zeros(DType.FLOAT32, x.shape());
        ByteBuffer from = x.data();
        ByteBuffer to = narrow.data();
        while (from.hasRemaining()) {
          to.putFloat((float) from.getDouble());
        }
        return narrow;
      default:
        throw new DataException(
            file
                + ": x must be uint8 pixels or floating point (32 or 64 bits), it is "
                + x.type().numpyName());
    }
  }

  private long[] wholeNumbers(Tensor y) throws DataException {
    int[] shape = y.shape();
    long[] numbers = new long[y.elements()];
    ByteBuffer data = y.data();
    for (int row = 0; row < numbers.length; row++) {
      switch (y.type()) {
        case INT8:
          numbers[row] = data.get();
          break;
        case UINT8:
          numbers[row] = data.get() & 0xff;
          break;
        case INT16:
          numbers[row] = data.getShort();
          break;
        case UINT16:
          numbers[row] = data.getShort() & 0xffff;
          break;
        case INT32:
          numbers[row] = data.getInt();
          break;
        case UINT32:
          numbers[row] = data.getInt() & 0xffffffffL;
          break;
        case INT64:
        case UINT64:
          numbers[row] = data.getLong();
          break;
        default:
          throw notWholeNumbers(y, shape);
      }
    }
    if (shape.length != 1) {
      throw notWholeNumbers(y, shape);
    }
    return numbers;
  }

  private DataException notWholeNumbers(Tensor y, int[] shape) {
    return new DataException(
        file
            + ": y must be whole numbers [n], it is "
            + y.type().numpyName()
            + " "
            + Arrays.toString(shape));
  }
}
