package org.pocketfleet.transport;

import com.google.protobuf.InvalidProtocolBufferException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.pocketfleet.Events;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.fleet.ConfigRecord;
import org.pocketfleet.fleet.ConfigRecordValue;
import org.pocketfleet.fleet.Metadata;
import org.pocketfleet.message.Records;
import org.pocketfleet.message.Task;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.SafeTensors;
import org.pocketfleet.tensor.Tensor;
import org.pocketfleet.tensor.TensorFileException;

/** Fetches a message's objects and reads the task in them ({@code docs/protocol.md}). */
final class TaskDecoder {
  private final Metadata metadata;
  private final ObjectSource source;
  private final long maxBytes;
  private boolean packed;

  /**
   * Makes a decoder for one message.
   *
   * @param metadata what came with the message; its id names the root of the tree
   * @param maxBytes most bytes of arrays that are acceptable in one message
   */
  TaskDecoder(Metadata metadata, ObjectSource source, long maxBytes) {
    this.metadata = metadata;
    this.source = source;
    this.maxBytes = maxBytes;
  }

  /**
   * Fetches and reads the task.
   *
   * @throws MessageException the objects do not make sense; nothing of them was used
   * @throws PocketfleetException the objects cannot be had
   */
  Task decode() throws PocketfleetException {
    String root = metadata.getMessageId();
    if (!ObjectId.isOne(root)) {
      throw new MessageException("the message's id is not that of an object");
    }
    ReceivedObject message = ReceivedObject.read(root, one(root), "Message");
    if (message.children().size() != 1) {
      throw new MessageException(
          "message "
              + ObjectId.shown(root)
              + ": "
              + message.children().size()
              + " contents instead of one");
    }
    String contentId = message.children().get(0);
    ReceivedObject content = ReceivedObject.read(contentId, one(contentId), "RecordDict");
    Map<String, String> records = content.names();
    Map<String, Tensor> arrays = Collections.emptyMap();
    Map<String, Object> config = Collections.emptyMap();
    try (ObjectSource.Stream coming = source.open(content.children(), Crew.MAX_AT_ONCE)) {
      for (String id : content.children()) {
        ReceivedObject record =
            ReceivedObject.read(id, coming.next(), "ArrayRecord", "ConfigRecord", "MetricRecord");
        if (record.kind().equals("ArrayRecord") && id.equals(records.get(Records.ARRAYS))) {
          arrays = unpacked(arrays(record));
        } else if (record.kind().equals("ConfigRecord") && id.equals(records.get(Records.CONFIG))) {
          config = config(record.bodyBytes());
        }
      }
    }
    return new Task(kindOf(metadata), arrays, config);
  }

  /** Whether the arrays came as one; known after {@link #decode}. */
  boolean packed() {
    return packed;
  }

  /** The kind of task that a message's type names. */
  static String kindOf(Metadata metadata) {
    String type = metadata.getMessageType();
    int dot = type.indexOf('.');
    return dot < 0 ? type : type.substring(0, dot);
  }

  private ByteBuffer one(String id) throws PocketfleetException {
    try (ObjectSource.Stream coming = source.open(Collections.singletonList(id), 1)) {
      return coming.next();
    }
  }

  private Map<String, Tensor> unpacked(Map<String, Tensor> arrays) throws MessageException {
    Tensor file = arrays.get(Records.PACKED);
    packed =
        arrays.size() == 1
            && file != null
            && file.type() == DType.UINT8
            && file.shape().length == 1;
    if (!packed) {
      return arrays;
    }
    try {
      return SafeTensors.read(file.data());
    } catch (TensorFileException error) {
      throw new MessageException(
          "message "
              + ObjectId.shown(metadata.getMessageId())
              + ": its packed arrays are damaged: "
              + error.getMessage(),
          error);
    }
  }

  /** Reads all arrays of a record, chunk by chunk in one go. */
  private Map<String, Tensor> arrays(ReceivedObject record) throws PocketfleetException {
    Map<String, String> names = record.names();
    Map<String, String> firstName = new HashMap<>();
    names.forEach((name, id) -> firstName.putIfAbsent(id, name));
    Map<String, ArrayAssembler> assemblers = new LinkedHashMap<>();
    long room = maxBytes;
    long largest = 0;
    try (ObjectSource.Stream coming = source.open(record.children(), Crew.MAX_AT_ONCE)) {
      for (String id : record.children()) {
        ReceivedObject description = ReceivedObject.read(id, coming.next(), "Array");
        ArrayAssembler assembler = new ArrayAssembler(firstName.get(id), description, room);
        room -= assembler.bytes();
        largest = Math.max(largest, assembler.bytes());
        assemblers.put(id, assembler);
      }
    }
    Map<String, Tensor> found = assemble(assemblers, Math.min(largest, ArrayEncoder.CHUNK_BYTES));
    Set<String> taken = new HashSet<>();
    Map<String, Tensor> arrays = new LinkedHashMap<>();
    for (Map.Entry<String, String> named : names.entrySet()) {
      Tensor tensor = found.get(named.getValue());
      // Two equal arrays are one object, but must not become one array that two layers train.
      arrays.put(named.getKey(), taken.add(named.getValue()) ? tensor : copy(tensor));
    }
    return arrays;
  }

  private Map<String, Tensor> assemble(Map<String, ArrayAssembler> assemblers, long largest)
      throws PocketfleetException {
    Map<String, Integer> uses = new LinkedHashMap<>();
    for (ArrayAssembler assembler : assemblers.values()) {
      for (String chunk : assembler.chunkIds()) {
        uses.merge(chunk, 1, Integer::sum);
      }
    }
    Map<String, ByteBuffer> waiting = new HashMap<>();
    Map<String, Tensor> found = new HashMap<>();
    List<String> chunks = new ArrayList<>(uses.keySet());
    try (ObjectSource.Stream coming = source.open(chunks, Crew.atOnce(largest))) {
      for (Map.Entry<String, ArrayAssembler> each : assemblers.entrySet()) {
        ArrayAssembler assembler = each.getValue();
        for (String id : assembler.chunkIds()) {
          if (!waiting.containsKey(id)) {
            ReceivedObject chunk = ReceivedObject.read(id, coming.next(), "ArrayChunk");
            if (!chunk.children().isEmpty()) {
              throw new MessageException(
                  "object " + ObjectId.shown(id) + ": a chunk of an array has no children");
            }
            waiting.put(id, chunk.body());
          }
          assembler.feed(waiting.get(id));
          if (uses.merge(id, -1, Integer::sum) == 0) {
            waiting.remove(id);
          }
        }
        found.put(each.getKey(), assembler.finish());
      }
    }
    return found;
  }

  private static Tensor copy(Tensor tensor) {
    Tensor copy = Tensor.zeros(tensor.type(), tensor.shape());
    copy.data().put(tensor.data());
    return copy;
  }

  private static Map<String, Object> config(byte[] body) throws MessageException {
    ConfigRecord record;
    try {
      record = ConfigRecord.parseFrom(body);
    } catch (InvalidProtocolBufferException error) {
      throw new MessageException("the message's config is not a ConfigRecord", error);
    }
    Map<String, Object> config = new LinkedHashMap<>();
    for (ConfigRecord.Item item : record.getItemsList()) {
      Object value = value(item.getValue());
      if (value == null) {
        String key = item.getKey();
        Events.warn(
            "event=config-key-ignored key=%s reason=only-single-values",
            key.substring(0, Math.min(64, key.length())));
      } else {
        config.put(item.getKey(), value);
      }
    }
    return config;
  }

  private static Object value(ConfigRecordValue value) {
    switch (value.getValueCase()) {
      case DOUBLE:
        return value.getDouble();
      case SINT64:
        return value.getSint64();
      case UINT64:
        return value.getUint64() < 0 ? null : (Object) value.getUint64();
      case BOOL:
        return value.getBool();
      case STRING:
        return value.getString();
      case BYTES:
        return value.getBytes().toByteArray();
      default:
        return null;
    }
  }
}
