package org.pocketfleet.transport;

import com.google.gson.JsonObject;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.pocketfleet.fleet.Metadata;
import org.pocketfleet.tensor.Tensor;

/** Objects for tests, sensible and not. */
final class Trees {
  private Trees() {}

  static StoredObject object(String kind, String body, StoredObject... children) {
    return object(kind, body.getBytes(StandardCharsets.UTF_8), children);
  }

  static StoredObject object(String kind, byte[] body, StoredObject... children) {
    return StoredObject.of(kind, Arrays.asList(children), body);
  }

  /** A record with these children by name. */
  static StoredObject named(String kind, Map<String, StoredObject> children) {
    JsonObject names = new JsonObject();
    children.forEach((name, child) -> names.addProperty(name, child.id()));
    return StoredObject.of(
        kind, children.values(), names.toString().getBytes(StandardCharsets.UTF_8));
  }

  static StoredObject named(String kind, String name, StoredObject child) {
    return named(kind, Collections.singletonMap(name, child));
  }

  static StoredObject message(StoredObject... contents) {
    return object("Message", "", contents);
  }

  /** A message with these weights. */
  static StoredObject weights(Map<String, Tensor> weights) {
    Map<String, StoredObject> arrays = new LinkedHashMap<>();
    weights.forEach((name, tensor) -> arrays.put(name, ArrayEncoder.encode(tensor)));
    return message(named("RecordDict", "arrays", named("ArrayRecord", arrays)));
  }

  static byte[] content(StoredObject object) {
    ByteBuffer content = ByteBuffer.allocate(object.size());
    object.parts().forEach(content::put);
    return content.array();
  }

  static Map<String, byte[]> contents(StoredObject root) {
    Map<String, byte[]> contents = new LinkedHashMap<>();
    for (StoredObject object : root.descendantsFirst()) {
      contents.put(object.id(), content(object));
    }
    return contents;
  }

  static Metadata instruction(String id) {
    return Metadata.newBuilder()
        .setRunId(-5)
        .setMessageId(id)
        .setSrcNodeId(1)
        .setDstNodeId(-2)
        .setGroupId("3")
        .setTtl(100)
        .setCreatedAt(1_800_000_000.0)
        .setMessageType("train.custom")
        .setSrcTaskId(7)
        .build();
  }

  /** Gives objects out, and counts what was asked for. */
  static final class Store implements ObjectSource {
    final List<String> asked = new ArrayList<>();
    private final Map<String, byte[]> contents;

    Store(Map<String, byte[]> contents) {
      this.contents = contents;
    }

    @Override
    public Stream open(List<String> ids, int atOnce) {
      Iterator<String> rest = ids.iterator();
      return new Stream() {
        @Override
        public ByteBuffer next() throws MessageException {
          String id = rest.next();
          asked.add(id);
          if (!contents.containsKey(id)) {
            throw new MessageException("not there");
          }
          return ByteBuffer.wrap(contents.get(id));
        }

        @Override
        public void close() {}
      };
    }
  }
}
