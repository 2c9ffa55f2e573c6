package org.pocketfleet.transport;

import com.google.gson.stream.JsonWriter;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Npy;
import org.pocketfleet.tensor.Tensor;

/**
 * Arrays as objects: an {@code Array} with type and shape, and its {@code .npy} bytes in {@code
 * ArrayChunk} pieces. Data is referred to, not copied.
 */
final class ArrayEncoder {
  static final int CHUNK_BYTES = 5 << 20;
  static final String STYPE = "numpy.ndarray";

  private ArrayEncoder() {}

  /** Turns a tensor into an object. */
  static StoredObject encode(Tensor tensor) {
    List<ByteBuffer> data = new ArrayList<>();
    data.add(tensor.data());
    return encode(tensor.type(), tensor.shape(), data, CHUNK_BYTES);
  }

  /**
   * Turns an array whose data is in parts into an object.
   *
   * @param data little-endian, row-major, each part from position to limit
   * @param chunkBytes most bytes of one chunk
   */
  static StoredObject encode(DType type, int[] shape, List<ByteBuffer> data, int chunkBytes) {
    List<StoredObject> chunks = new ArrayList<>();
    List<ByteBuffer> chunk = new ArrayList<>();
    ByteBuffer header = ByteBuffer.wrap(Npy.header(type, shape));
    int room = chunkBytes - header.remaining();
    chunk.add(header);
    for (ByteBuffer part : data) {
      ByteBuffer rest = part.duplicate();
      while (rest.hasRemaining()) {
        if (room <= 0) {
          chunks.add(chunk(chunk));
          chunk = new ArrayList<>();
          room = chunkBytes;
        }
        ByteBuffer piece = rest.duplicate();
        piece.limit(piece.position() + Math.min(room, piece.remaining()));
        rest.position(piece.limit());
        room -= piece.remaining();
        chunk.add(piece);
      }
    }
    chunks.add(chunk(chunk));
    return StoredObject.of("Array", chunks, description(type, shape, chunks));
  }

  private static StoredObject chunk(List<ByteBuffer> parts) {
    return new StoredObject("ArrayChunk", new ArrayList<>(), parts);
  }

  private static byte[] description(DType type, int[] shape, List<StoredObject> chunks) {
    StringWriter text = new StringWriter();
    try (JsonWriter json = new JsonWriter(text)) {
      json.beginObject();
      json.name("dtype").value(type.numpyName());
      json.name("shape").beginArray();
      for (int extent : shape) {
        json.value(extent);
      }
      json.endArray();
      json.name("stype").value(STYPE);
      json.name("arraychunk_ids").beginArray();
      Map<String, Integer> positions = new HashMap<>();
      for (StoredObject chunk : chunks) {
        Integer known = positions.putIfAbsent(chunk.id(), positions.size());
        json.value(known == null ? positions.size() - 1 : known);
      }
      json.endArray();
      json.endObject();
    } catch (IOException error) {
      throw new UncheckedIOException("a text in memory cannot be written", error);
    }
    return text.toString().getBytes(StandardCharsets.UTF_8);
  }
}
