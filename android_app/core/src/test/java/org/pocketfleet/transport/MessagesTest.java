package org.pocketfleet.transport;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.Test;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.fleet.ConfigRecord;
import org.pocketfleet.fleet.ConfigRecordValue;
import org.pocketfleet.fleet.Message;
import org.pocketfleet.fleet.MetricRecord;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Tensor;

public class MessagesTest {
  @Test
  public void pythonsMessagesAreRead() throws Exception {
    String[][] cases = {
      {Golden.NAMED_ROOT, Golden.NAMED, "false"}, {Golden.PACKED_ROOT, Golden.PACKED, "true"}
    };
    for (String[] each : cases) {
      TaskDecoder decoder =
          new TaskDecoder(
              Trees.instruction(each[0]), new Trees.Store(Golden.objects(each[1])), 1 << 20);
      Task task = decoder.decode();
      assertEquals("train", task.kind());
      assertEquals(each[2], String.valueOf(decoder.packed()));
      assertEquals(3, task.arrays().size());
      assertTrue(task.arrays().get("dense/kernel").hasShape(2, 3));
      assertEquals(5, task.arrays().get("dense/kernel").data().asFloatBuffer().get(5), 0);
      assertEquals(4L, task.round());
      assertEquals(0.5, task.config().get("learning-rate"));
      assertEquals("head", task.config().get("cut"));
      assertEquals(true, task.config().get("final"));
      assertArrayEquals(new byte[] {0, -1}, (byte[]) task.config().get("blob"));
      assertFalse("only single values", task.config().containsKey("list"));
    }
  }

  @Test
  public void equalArraysDoNotBecomeOne() throws Exception {
    Task task = decode(Golden.objects(Golden.NAMED), Golden.NAMED_ROOT, 1 << 20);
    task.arrays().get("dense/bias").data().putFloat(1);
    assertEquals(0, task.arrays().get("other/bias").data().getFloat(), 0);
  }

  @Test
  public void noObjectIsFetchedTwice() throws Exception {
    Trees.Store store = new Trees.Store(Golden.objects(Golden.NAMED));
    new TaskDecoder(Trees.instruction(Golden.NAMED_ROOT), store, 1 << 20).decode();
    assertEquals(new HashSet<>(store.asked).size(), store.asked.size());
    assertEquals(Golden.objects(Golden.NAMED).keySet(), new HashSet<>(store.asked));
  }

  @Test
  public void nonsenseIsRefused() {
    StoredObject chunk = Trees.object("ArrayChunk", "x");
    StoredObject record =
        Trees.named("ArrayRecord", "w", ArrayEncoder.encode(Tensor.zeros(DType.FLOAT32, 4)));
    StoredObject empty = Trees.named("RecordDict", Collections.emptyMap());
    StoredObject family =
        Trees.object(
            "Array",
            "{\"dtype\":\"uint8\",\"shape\":[1],\"stype\":\"numpy.ndarray\",\"arraychunk_ids\":[0]}",
            Trees.object("ArrayChunk", "x", chunk));
    String twice = "{\"a\":\"" + record.id() + "\",\"a\":\"" + record.id() + "\"}";
    StoredObject notAFile =
        Trees.named(
            "ArrayRecord", "safetensors", ArrayEncoder.encode(Tensor.zeros(DType.UINT8, 9)));
    Map<StoredObject, String> cases = new LinkedHashMap<>();
    cases.put(Trees.message(), "0 contents");
    cases.put(Trees.message(empty, record), "2 contents");
    cases.put(Trees.message(chunk), "where only RecordDict");
    cases.put(empty, "where only Message");
    cases.put(inRecord("arrays", chunk), "where only ArrayRecord");
    cases.put(inRecord("arrays", empty), "where only ArrayRecord");
    cases.put(content("[\"arrays\"]", record), "not a JSON object of ids");
    cases.put(content("{\"arrays\":3}", record), "not a JSON object of ids");
    cases.put(content("5", record), "not a JSON object of ids");
    cases.put(content("{\"arrays\":\"ffff\"}", record), "not those of its children");
    cases.put(content("{}", record), "not those of its children");
    cases.put(content(twice, record), "a name comes twice");
    cases.put(content(String.join("", Collections.nCopies(100_000, "["))), "not a JSON object");
    cases.put(content("\u0000"), "not JSON");
    cases.put(inRecord("arrays", Trees.named("ArrayRecord", "w", chunk)), "where only Array can");
    cases.put(inRecord("arrays", Trees.named("ArrayRecord", "w", family)), "has no children");
    cases.put(
        inRecord("config", Trees.object("ConfigRecord", new byte[] {-1, -1})),
        "not a ConfigRecord");
    cases.put(inRecord("arrays", notAFile), "packed arrays are damaged");
    cases.forEach(
        (root, complaint) -> {
          PocketfleetException error =
              assertThrows(complaint, MessageException.class, () -> decode(root, 1 << 20));
          assertTrue(error.getMessage(), error.getMessage().contains(complaint));
        });
  }

  @Test
  public void tooMuchIsRefusedBeforeItIsFetched() {
    Map<String, Tensor> weights = new LinkedHashMap<>();
    List<String> chunks = new ArrayList<>();
    for (int number = 0; number < 3; number++) {
      Tensor tensor = Tensor.zeros(DType.FLOAT32, 1000);
      tensor.data().putFloat(number);
      weights.put("w" + number, tensor);
      chunks.add(ArrayEncoder.encode(tensor).children().get(0).id());
    }
    StoredObject root = Trees.weights(weights);
    Trees.Store store = new Trees.Store(Trees.contents(root));
    MessageException error =
        assertThrows(
            MessageException.class,
            () -> new TaskDecoder(Trees.instruction(root.id()), store, 10_000).decode());
    assertTrue(error.getMessage(), error.getMessage().contains("still acceptable"));
    assertTrue(Collections.disjoint(store.asked, chunks));
  }

  @Test
  public void anIdThatIsNoneIsRefused() {
    assertThrows(
        MessageException.class, () -> decode(Collections.emptyMap(), "../../etc/passwd", 1));
  }

  @Test
  public void randomBytesThrowNothingElse() {
    Random random = new Random(1);
    for (int number = 0; number < 3000; number++) {
      byte[] body = new byte[random.nextInt(200)];
      random.nextBytes(body);
      String kind = new String[] {"RecordDict", "ArrayRecord", "ConfigRecord"}[number % 3];
      StoredObject record = Trees.object(kind, body);
      StoredObject root =
          number % 3 == 0
              ? Trees.message(record)
              : inRecord(number % 3 == 1 ? "arrays" : "config", record);
      try {
        decode(root, 1 << 20);
      } catch (PocketfleetException refused) {
        assertTrue(refused instanceof MessageException);
      }
    }
  }

  @Test
  public void aReplyComesBackInTheFormAsked() throws Exception {
    Map<String, Tensor> arrays =
        decode(Golden.objects(Golden.NAMED), Golden.NAMED_ROOT, 999).arrays();
    Map<String, Object> metrics = new LinkedHashMap<>();
    metrics.put("num-examples", 30L);
    metrics.put("train-loss", 0.25);
    metrics.put("steps", 3);
    Map<String, Object> info = new LinkedHashMap<>();
    info.put("name", "π");
    info.put("n", 3L);
    info.put("x", 0.5);
    info.put("ok", true);
    info.put("blob", new byte[] {1});
    for (boolean packed : new boolean[] {false, true}) {
      StoredObject root =
          ReplyEncoder.reply(
              Trees.instruction(Golden.NAMED_ROOT),
              new Reply(metrics, info, arrays),
              packed,
              1_800_000_010.0);
      TaskDecoder decoder =
          new TaskDecoder(
              Trees.instruction(root.id()), new Trees.Store(Trees.contents(root)), 1 << 20);
      Map<String, Tensor> back = decoder.decode().arrays();
      assertEquals(packed, decoder.packed());
      assertEquals(arrays.keySet(), back.keySet());
      arrays.forEach((name, tensor) -> assertEquals(tensor.data(), back.get(name).data()));
      Message body = Message.parseFrom(root.parts().get(1));
      assertEquals(-5, body.getMetadata().getRunId());
      assertEquals(-2, body.getMetadata().getSrcNodeId());
      assertEquals(1, body.getMetadata().getDstNodeId());
      assertEquals(Golden.NAMED_ROOT, body.getMetadata().getReplyToMessageId());
      assertEquals(90, body.getMetadata().getTtl(), 0);
      assertEquals(7, body.getMetadata().getDstTaskId());
      assertFalse(body.getMetadata().hasSrcTaskId());
    }
  }

  @Test
  public void recordsHoldWhatWasPutIn() throws Exception {
    Map<String, Object> metrics = Collections.singletonMap("a", -(1L << 40));
    Map<String, Object> info = Collections.singletonMap("b", "words");
    StoredObject root =
        ReplyEncoder.reply(
            Trees.instruction(Golden.NAMED_ROOT).toBuilder().setMessageType("query").build(),
            new Reply(metrics, info, null),
            false,
            0);
    StoredObject dict = root.children().get(0);
    ReceivedObject names =
        ReceivedObject.read(dict.id(), ByteBuffer.wrap(Trees.content(dict)), "RecordDict");
    assertEquals(new HashSet<>(Arrays.asList("metrics", "device")), names.names().keySet());
    MetricRecord metric = MetricRecord.parseFrom(dict.children().get(0).parts().get(1));
    assertEquals(-(1L << 40), metric.getItems(0).getValue().getSint64());
    ConfigRecord device = ConfigRecord.parseFrom(dict.children().get(1).parts().get(1));
    assertEquals(ConfigRecordValue.ValueCase.STRING, device.getItems(0).getValue().getValueCase());
  }

  @Test
  public void whatCannotTravelIsNamed() {
    for (Object value : new Object[] {"low", true, null, new ArrayList<String>()}) {
      Reply reply =
          new Reply(Collections.singletonMap("loss", value), Collections.emptyMap(), null);
      IllegalArgumentException error =
          assertThrows(
              IllegalArgumentException.class,
              () -> ReplyEncoder.reply(Trees.instruction("x"), reply, false, 0));
      assertTrue(error.getMessage(), error.getMessage().startsWith("metric 'loss': "));
    }
  }

  @Test
  public void errorsAreShortAndSayWhy() throws Exception {
    String words = "no" + String.join("", Collections.nCopies(5000, "o"));
    StoredObject root = ReplyEncoder.error(Trees.instruction("x"), words, 1_800_000_010.0);
    Message body = Message.parseFrom(root.parts().get(1));
    assertEquals(2, body.getError().getCode());
    assertEquals(2000, body.getError().getReason().length());
    assertNotSame(Message.getDefaultInstance(), body);
    assertTrue(root.children().isEmpty());
  }

  private static StoredObject content(String names, StoredObject... children) {
    return Trees.message(Trees.object("RecordDict", names, children));
  }

  private static StoredObject inRecord(String name, StoredObject record) {
    return Trees.message(Trees.named("RecordDict", name, record));
  }

  private static Task decode(StoredObject root, long maxBytes) throws PocketfleetException {
    return decode(Trees.contents(root), root.id(), maxBytes);
  }

  private static Task decode(Map<String, byte[]> objects, String root, long maxBytes)
      throws PocketfleetException {
    return new TaskDecoder(Trees.instruction(root), new Trees.Store(objects), maxBytes).decode();
  }
}
