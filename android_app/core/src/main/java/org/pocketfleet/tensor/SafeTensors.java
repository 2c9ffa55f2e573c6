package org.pocketfleet.tensor;

import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.gson.stream.JsonWriter;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.pocketfleet.StrictJson;

/**
 * Named tensors as bytes: the safetensors format, read and written without a copy of the data.
 *
 * <p>The format is an eight-byte length, a JSON header and the data (
 * https://github.com/huggingface/safetensors). It comes from the network, so every length and
 * offset is checked before use.
 */
public final class SafeTensors {
  private static final int MAX_HEADER_BYTES = 16 << 20;
  private static final int LENGTH_BYTES = 8;

  private SafeTensors() {}

  /**
   * Reads tensors by name, in the order of the header.
   *
   * @param file a whole file, from position to limit; the tensors are views of it
   * @throws TensorFileException the bytes are not a well-formed file
   */
  public static Map<String, Tensor> read(ByteBuffer file) throws TensorFileException {
    ByteBuffer view = file.slice().order(ByteOrder.LITTLE_ENDIAN);
    int size = view.remaining();
    if (size < LENGTH_BYTES) {
      throw new TensorFileException("a safetensors file has at least 8 bytes, this has " + size);
    }
    long headerBytes = view.getLong();
    if (headerBytes < 0 || headerBytes > Math.min(MAX_HEADER_BYTES, size - LENGTH_BYTES)) {
      throw new TensorFileException(
          "header of "
              + Long.toUnsignedString(headerBytes)
              + " bytes in a file of "
              + size
              + ": truncated or not safetensors");
    }
    ByteBuffer header = view.slice();
    header.limit((int) headerBytes);
    view.position(LENGTH_BYTES + (int) headerBytes);
    List<Entry> entries;
    try {
      entries = entries(StrictJson.reader(header));
    } catch (IOException | IllegalStateException error) {
      throw new TensorFileException("the header is not a JSON object of tensors", error);
    }
    ByteBuffer body = view.slice();
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    for (Entry entry : entries) {
      if (tensors.put(entry.name, entry.tensor(body)) != null) {
        throw new TensorFileException("tensor '" + entry.name + "' comes twice");
      }
    }
    checkFilled(entries, body.remaining());
    return tensors;
  }

  /**
   * The bytes of a file in parts that are not copied together.
   *
   * @param tensors tensors by name, in the order in which they are to be laid out
   * @return read-only views: the length and header, then each tensor's elements
   */
  public static List<ByteBuffer> parts(Map<String, Tensor> tensors) {
    byte[] text = header(tensors).getBytes(StandardCharsets.UTF_8);
    int padded = (text.length + LENGTH_BYTES - 1) / LENGTH_BYTES * LENGTH_BYTES;
    ByteBuffer start = ByteBuffer.allocate(LENGTH_BYTES + padded).order(ByteOrder.LITTLE_ENDIAN);
    start.putLong(padded).put(text);
    while (start.hasRemaining()) {
      start.put((byte) ' ');
    }
    start.flip();
    List<ByteBuffer> parts = new ArrayList<>();
    parts.add(start.asReadOnlyBuffer());
    for (Tensor tensor : tensors.values()) {
      parts.add(tensor.data().asReadOnlyBuffer());
    }
    return parts;
  }

  /**
   * Writes a file.
   *
   * @throws IOException the channel cannot be written
   */
  public static void write(Map<String, Tensor> tensors, WritableByteChannel out)
      throws IOException {
    for (ByteBuffer part : parts(tensors)) {
      while (part.hasRemaining()) {
        out.write(part);
      }
    }
  }

  private static String header(Map<String, Tensor> tensors) {
    StringWriter text = new StringWriter();
    try (JsonWriter json = new JsonWriter(text)) {
      json.setHtmlSafe(false);
      json.beginObject();
      long start = 0;
      for (Map.Entry<String, Tensor> named : tensors.entrySet()) {
        Tensor tensor = named.getValue();
        json.name(named.getKey()).beginObject();
        json.name("dtype").value(tensor.type().safetensorsName());
        json.name("shape").beginArray();
        for (int extent : tensor.shape()) {
          json.value(extent);
        }
        json.endArray();
        json.name("data_offsets").beginArray().value(start);
        start += tensor.bytes();
        json.value(start).endArray();
        json.endObject();
      }
      json.endObject();
    } catch (IOException error) {
      throw new UncheckedIOException("a text in memory cannot be written", error);
    }
    return text.toString();
  }

  private static List<Entry> entries(JsonReader json) throws IOException, TensorFileException {
    List<Entry> entries = new ArrayList<>();
    json.beginObject();
    while (json.hasNext()) {
      String name = json.nextName();
      if (name.equals("__metadata__")) {
        json.skipValue();
      } else {
        entries.add(new Entry(name, json));
      }
    }
    json.endObject();
    StrictJson.end(json);
    return entries;
  }

  /** No byte belongs to two tensors, or to none. */
  private static void checkFilled(List<Entry> entries, int bytes) throws TensorFileException {
    List<Entry> inOrder = new ArrayList<>(entries);
    Collections.sort(
        inOrder,
        (one, other) ->
            one.start != other.start
                ? Long.compare(one.start, other.start)
                : Long.compare(one.end, other.end));
    long end = 0;
    for (Entry entry : inOrder) {
      if (entry.start != end) {
        throw new TensorFileException(
            "tensor '" + entry.name + "' begins at " + entry.start + ", not at " + end);
      }
      end = entry.end;
    }
    if (end != bytes) {
      throw new TensorFileException(
          "tensors do not fill the " + bytes + " bytes of data: truncated or padded");
    }
  }

  /** What the header says of one tensor. */
  private static final class Entry {
    final String name;
    final DType type;
    final long[] shape;
    final long start;
    final long end;

    Entry(String name, JsonReader json) throws IOException, TensorFileException {
      this.name = name;
      if (json.peek() != JsonToken.BEGIN_OBJECT) {
        throw noEntry();
      }
      String typeName = null;
      long[] extents = null;
      long[] offsets = null;
      json.beginObject();
      while (json.hasNext()) {
        switch (json.nextName()) {
          case "dtype":
            typeName = StrictJson.string(json);
            break;
          case "shape":
            extents = StrictJson.naturals(json, Shapes.MAX_DIMENSIONS);
            break;
          case "data_offsets":
            offsets = StrictJson.naturals(json, 2);
            break;
          default:
            json.skipValue();
        }
      }
      json.endObject();
      if (typeName == null || extents == null || offsets == null || offsets.length != 2) {
        throw noEntry();
      }
      type = DType.ofSafetensors(typeName);
      if (type == null) {
        throw new TensorFileException("tensor '" + name + "': unknown dtype '" + typeName + "'");
      }
      shape = extents;
      start = offsets[0];
      end = offsets[1];
    }

    Tensor tensor(ByteBuffer body) throws TensorFileException {
      int[] extents = Shapes.narrow(shape);
      if (extents == null
          || start > end
          || end > body.remaining()
          || end - start != Shapes.bytes(type, shape)) {
        throw new TensorFileException(
            "tensor '"
                + name
                + "': offsets "
                + start
                + ".."
                + end
                + " do not fit shape "
                + Arrays.toString(shape)
                + " of "
                + type.numpyName());
      }
      ByteBuffer data = body.duplicate();
      data.position((int) start).limit((int) end);
      return new Tensor(type, extents, data);
    }

    private TensorFileException noEntry() {
      return new TensorFileException(
          "tensor '" + name + "': entry without dtype, shape and data_offsets");
    }
  }
}
