package org.pocketfleet.transport;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collections;
import java.util.Locale;
import java.util.Map;
import org.junit.Test;
import org.pocketfleet.Hex;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Npy;
import org.pocketfleet.tensor.Tensor;

public class ArraysTest {
  private static final String GOOD =
      "{\"dtype\":\"float32\",\"shape\":[2],\"stype\":\"numpy.ndarray\",\"arraychunk_ids\":[0]}";

  @Test
  public void everyTypeAndShapeComesBack() throws Exception {
    int[][] shapes = {{}, {0}, {7}, {2, 3}, {2, 0, 3}, {1, 2, 3, 4}};
    for (DType type : DType.values()) {
      for (int[] shape : shapes) {
        Tensor tensor = Tensor.zeros(type, shape);
        ByteBuffer data = tensor.data();
        for (int at = 0; data.hasRemaining(); at++) {
          data.put((byte) at);
        }
        Tensor back = decode(ArrayEncoder.encode(tensor), 1 << 20);
        assertEquals(tensor.toString(), back.toString());
        assertEquals(tensor.data(), back.data());
      }
    }
  }

  @Test
  public void chunksOfEveryLengthComeBack() throws Exception {
    for (int length : new int[] {0, 1, 871, 872, 873, 1871, 1872, 1873, 5000}) {
      byte[] bytes = new byte[length];
      for (int at = 0; at < length; at++) {
        bytes[at] = (byte) (at * 7);
      }
      // In parts that end anywhere, as a packed file's do.
      ByteBuffer first = ByteBuffer.wrap(bytes, 0, length / 3);
      ByteBuffer second = ByteBuffer.wrap(bytes, length / 3, length - length / 3);
      StoredObject item =
          ArrayEncoder.encode(DType.UINT8, new int[] {length}, Arrays.asList(first, second), 1000);
      for (StoredObject chunk : item.children()) {
        assertTrue(chunk.size() - chunk.parts().get(0).remaining() <= 1000);
      }
      assertEquals(ByteBuffer.wrap(bytes), decode(item, length).data());
    }
  }

  @Test
  public void equalChunksTravelOnce() throws Exception {
    StoredObject item =
        ArrayEncoder.encode(
            DType.UINT8,
            new int[] {10_000},
            Collections.singletonList(ByteBuffer.allocate(10_000)),
            1000);
    assertEquals(3, item.children().size());
    assertEquals(ByteBuffer.allocate(10_000), decode(item, 10_000).data());
  }

  @Test
  public void columnMajorAndBigEndianAreUnderstood() throws Exception {
    ByteArrayOutputStream npy = new ByteArrayOutputStream();
    StringBuilder header =
        new StringBuilder("{'descr': '>f4', 'fortran_order': True, 'shape': (3, 4), }");
    while (header.length() < 117) {
      header.append(' ');
    }
    npy.write(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 118, 0});
    npy.write((header + "\n").getBytes(StandardCharsets.US_ASCII));
    ByteBuffer data = ByteBuffer.allocate(48).order(ByteOrder.BIG_ENDIAN);
    for (int column = 0; column < 4; column++) {
      for (int row = 0; row < 3; row++) {
        data.putFloat(4 * row + column);
      }
    }
    npy.write(data.array());
    Tensor tensor = decode(array(GOOD.replace("[2]", "[3,4]"), npy.toByteArray()), 48);
    for (int at = 0; at < 12; at++) {
      assertEquals(at, tensor.data().asFloatBuffer().get(at), 0);
    }
  }

  @Test
  public void whatIsNotPromisedIsRefused() {
    byte[] two = npy(DType.FLOAT32, 2);
    String nested = String.join("", Collections.nCopies(100_000, "["));
    Object[][] cases = {
      {"[]", two, "not a JSON object"},
      {"nonsense", two, "not JSON"},
      {nested, two, "not a JSON object"},
      {"{\"shape\":" + nested, two, "not JSON"},
      {GOOD + "x", two, "not JSON"},
      {"{}", two, "serialised as"},
      {GOOD.replace("float32", "object"), two, "not one of numbers"},
      {GOOD.replace("float32", "|V4"), two, "not one of numbers"},
      {GOOD.replace("\"float32\"", "3"), two, "no dtype"},
      {GOOD.replace("[2]", "[-2]"), two, "no dtype"},
      {GOOD.replace("[2]", "[true,2]"), two, "no dtype"},
      {GOOD.replace("[2]", "\"2\""), two, "no dtype"},
      {GOOD.replace("[2]", "[2.5]"), two, "no dtype"},
      {GOOD.replace("[2]", Collections.nCopies(40, 2).toString()), two, "40 dimensions"},
      {GOOD.replace("[2]", "[1099511627776]"), two, "still acceptable"},
      {GOOD.replace("[2]", "[999999999999999999,999999999999999999]"), two, "still acceptable"},
      {GOOD.replace("[2]", "[3]"), two, "but its data is"},
      {GOOD.replace("float32", "int32"), two, "but its data is"},
      {GOOD.replace("numpy.ndarray", "pickle"), two, "serialised as"},
      {GOOD.replace("[0]", "[1]"), two, "chunks are not those"},
      {GOOD.replace("[0]", "[]"), two, "chunks are not those"},
      {GOOD.replace("[0]", "[0,0]"), two, "more data than"},
      {GOOD, Arrays.copyOf(two, two.length - 1), "1 bytes short"},
      {GOOD, Arrays.copyOf(two, two.length + 1), "more data than"},
      {GOOD, new byte[0], "does not begin"},
      {GOOD, new byte[200], "does not begin"},
    };
    for (Object[] each : cases) {
      StoredObject item = array((String) each[0], (byte[]) each[1]);
      MessageException error =
          assertThrows((String) each[0], MessageException.class, () -> decode(item, 1 << 20));
      assertTrue(error.getMessage(), error.getMessage().contains((String) each[2]));
    }
  }

  @Test
  public void objectsThatAreNoneAreRefused() {
    StoredObject child = Trees.object("ArrayChunk", "x");
    String id = child.id();
    Object[][] cases = {
      {"Array " + id + " 2\0{}", null},
      {"Array  2\0{}", null},
      {"Array 2\0{}", "form of one"},
      {"Array  2{}", "no end"},
      {"Array  3\0{}", "claims 3"},
      {"Array  02\0{}", "form of one"},
      {"Array  -2\0{}", "form of one"},
      {"Array  99999999999999999999\0{}", "form of one"},
      {"Array  2 \0{}", "form of one"},
      {"Arr4y  2\0{}", "form of one"},
      {"  2\0{}", "form of one"},
      {"Message  2\0{}", "where only Array"},
      {"Array xyz 2\0{}", "list of children"},
      {"Array " + id + ", 2\0{}", "list of children"},
      {"Array " + id.toUpperCase(Locale.ROOT) + " 2\0{}", "list of children"},
      {"Array " + id + "," + id + " 2\0{}", "a child twice"},
      {"Arr\u00e9y  2\0{}", "form of one"},
      {"", "no end"},
    };
    for (Object[] each : cases) {
      byte[] bytes = ((String) each[0]).getBytes(StandardCharsets.ISO_8859_1);
      ByteBuffer content = ByteBuffer.wrap(bytes);
      String hash = Hex.sha256(content);
      try {
        assertEquals("{}".length(), ReceivedObject.read(hash, content, "Array").bodyBytes().length);
        assertEquals(each[0].toString(), null, each[1]);
      } catch (MessageException error) {
        assertTrue(error.getMessage(), error.getMessage().contains(String.valueOf(each[1])));
      }
      assertThrows(
          MessageException.class,
          () -> ReceivedObject.read(hash.replace(hash.charAt(0), 'x'), content, "Array"));
    }
  }

  @Test
  public void arraysHaveTheIdsThatPythonGivesThem() {
    StoredObject item = ArrayEncoder.encode(Tensor.zeros(DType.FLOAT32, 3));
    assertEquals(
        "1450bf2e91aae6365fd9ba3f565dc7a20a3879367cdef8a25ee26691d7838bf2",
        item.children().get(0).id());
  }

  private static Tensor decode(StoredObject item, long maxBytes) throws MessageException {
    Map<String, byte[]> contents = Trees.contents(item);
    ReceivedObject description =
        ReceivedObject.read(item.id(), ByteBuffer.wrap(contents.get(item.id())), "Array");
    ArrayAssembler assembler = new ArrayAssembler("w", description, maxBytes);
    for (String id : assembler.chunkIds()) {
      ByteBuffer content = ByteBuffer.wrap(contents.get(id));
      assembler.feed(ReceivedObject.read(id, content, "ArrayChunk").body());
    }
    return assembler.finish();
  }

  private static StoredObject array(String description, byte[] chunk) {
    return Trees.object("Array", description, Trees.object("ArrayChunk", chunk));
  }

  private static byte[] npy(DType type, int length) {
    byte[] header = Npy.header(type, new int[] {length});
    return Arrays.copyOf(header, header.length + length * type.bytes());
  }
}
