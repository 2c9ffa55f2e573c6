package org.pocketfleet.transport;

import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.pocketfleet.StrictJson;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Npy;
import org.pocketfleet.tensor.Tensor;
import org.pocketfleet.tensor.TensorFileException;

/** Puts an array together from its chunks, one at a time, so that one copy of the data exists. */
final class ArrayAssembler {
  private static final int MAX_DIMENSIONS = 32;
  private static final int MAX_CHUNKS = 1 << 20;

  private final String name;
  private final List<String> chunkIds = new ArrayList<>();
  private String stype;
  private String typeName;
  private long[] shape;
  private long[] indices;
  private final DType type;
  private final long bytes;
  private Npy.Header header;
  private ByteBuffer data;

  /**
   * Reads the description of an array.
   *
   * @param name what to call the array in errors
   * @param description the {@code Array} object
   * @param maxBytes largest acceptable array
   * @throws MessageException the object does not describe an array of numbers of acceptable size
   */
  ArrayAssembler(String name, ReceivedObject description, long maxBytes) throws MessageException {
    this.name = name;
    readDescription(description.body());
    if (!ArrayEncoder.STYPE.equals(stype)) {
      String shown = String.valueOf(stype);
      throw wrong(
          "serialised as '"
              + shown.substring(0, Math.min(40, shown.length()))
              + "', expected '"
              + ArrayEncoder.STYPE
              + "'");
    }
    if (typeName == null || shape == null || indices == null) {
      throw wrong("no dtype, shape and chunks");
    }
    if (shape.length > MAX_DIMENSIONS) {
      throw wrong(shape.length + " dimensions");
    }
    type = Npy.type(typeName);
    if (type == null) {
      throw wrong(
          "dtype '"
              + typeName.substring(0, Math.min(40, typeName.length()))
              + "' is not one of numbers");
    }
    findChunks(description.children());
    bytes = Npy.bytes(type, shape);
    if (bytes > Math.min(maxBytes, Integer.MAX_VALUE)) {
      throw wrong(bytes + " bytes, more than the " + maxBytes + " still acceptable");
    }
  }

  /** The chunks in the order in which {@link #feed} wants them; one may come several times. */
  List<String> chunkIds() {
    return chunkIds;
  }

  /** How many bytes the data has. */
  long bytes() {
    return bytes;
  }

  /**
   * Adds the body of the next chunk.
   *
   * @throws MessageException it is not what the description promised
   */
  void feed(ByteBuffer chunk) throws MessageException {
    ByteBuffer rest = chunk.duplicate();
    if (header == null) {
      readHeader(rest);
      data = ByteBuffer.allocateDirect((int) bytes);
    }
    if (rest.remaining() > data.remaining()) {
      throw wrong("more data than its shape " + Arrays.toString(shape) + " has room for");
    }
    data.put(rest);
  }

  /**
   * The array.
   *
   * @throws MessageException data is missing
   */
  Tensor finish() throws MessageException {
    if (header == null || data.hasRemaining()) {
      long missing = header == null ? bytes : data.remaining();
      throw wrong(missing + " bytes short of its shape " + Arrays.toString(shape));
    }
    data.flip();
    try {
      return header.tensor(data);
    } catch (TensorFileException error) {
      throw wrong(error.getMessage());
    }
  }

  private void readDescription(ByteBuffer body) throws MessageException {
    try {
      JsonReader json = StrictJson.reader(body);
      if (json.peek() != JsonToken.BEGIN_OBJECT) {
        throw wrong("its description is not a JSON object");
      }
      json.beginObject();
      while (json.hasNext()) {
        switch (json.nextName()) {
          case "dtype":
            typeName = StrictJson.string(json);
            break;
          case "shape":
            shape = StrictJson.naturals(json, MAX_CHUNKS);
            break;
          case "stype":
            stype = StrictJson.string(json);
            break;
          case "arraychunk_ids":
            indices = StrictJson.naturals(json, MAX_CHUNKS);
            break;
          default:
            json.skipValue();
        }
      }
      json.endObject();
      StrictJson.end(json);
    } catch (IOException | IllegalStateException error) {
      throw new MessageException("array '" + name + "': its description is not JSON", error);
    }
  }

  private void findChunks(List<String> children) throws MessageException {
    Set<Long> used = new HashSet<>();
    for (long index : indices) {
      if (index >= children.size()) {
        throw wrong("its chunks are not those it lists");
      }
      used.add(index);
      chunkIds.add(children.get((int) index));
    }
    if (used.size() != children.size()) {
      throw wrong("its chunks are not those it lists");
    }
  }

  private void readHeader(ByteBuffer chunk) throws MessageException {
    Npy.Header found;
    try {
      found = Npy.Header.read(chunk);
    } catch (TensorFileException error) {
      throw wrong(error.getMessage());
    }
    if (found.type() != type || !Arrays.equals(found.shape(), shape)) {
      throw wrong(
          "described as "
              + type.numpyName()
              + Arrays.toString(shape)
              + ", but its data is "
              + found);
    }
    header = found;
  }

  private MessageException wrong(String what) {
    return new MessageException("array '" + name + "': " + what);
  }
}
