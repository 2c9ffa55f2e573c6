package org.pocketfleet.tensor;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.Test;

public class SafeTensorsTest {
  /** What model_export.tensors.pack makes of {"dense/kernel": 2x3 floats 0..5, "é": True}. */
  private static final String FROM_PYTHON =
      "gAAAAAAAAAB7ImRlbnNlL2tlcm5lbCI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMiwzXSwiZGF0YV9v"
          + "ZmZzZXRzIjpbMCwyNF19LCJcdTAwZTkiOnsiZHR5cGUiOiJCT09MIiwic2hhcGUiOltdLCJkYXRhX29m"
          + "ZnNldHMiOlsyNCwyNV19fQAAAAAAAIA/AAAAQAAAQEAAAIBAAACgQAE=";

  @Test
  public void readsWhatPythonWrites() throws Exception {
    Map<String, Tensor> tensors =
        SafeTensors.read(ByteBuffer.wrap(Base64.getDecoder().decode(FROM_PYTHON)));
    assertArrayEquals(new Object[] {"dense/kernel", "é"}, tensors.keySet().toArray());
    Tensor kernel = tensors.get("dense/kernel");
    assertTrue(kernel.hasShape(2, 3));
    assertEquals(5f, kernel.data().asFloatBuffer().get(5), 0);
    assertTrue(tensors.get("é").hasShape());
    assertEquals(1, tensors.get("é").data().get());
  }

  @Test
  public void everyTypeAndShapeComesBack() throws Exception {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    int number = 0;
    for (DType type : DType.values()) {
      int[][] shapes = {{}, {0, 3}, {2, 3}, {1, 1, 5}};
      Tensor tensor = Tensor.zeros(type, shapes[number % shapes.length]);
      ByteBuffer data = tensor.data();
      while (data.hasRemaining()) {
        data.put((byte) number++);
      }
      number++;
      tensors.put("layer \"" + type.numpyName() + "\"/<&ü\u2028>", tensor);
    }
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    SafeTensors.write(tensors, Channels.newChannel(out));
    Map<String, Tensor> back = SafeTensors.read(ByteBuffer.wrap(out.toByteArray()));
    assertArrayEquals(tensors.keySet().toArray(), back.keySet().toArray());
    for (Map.Entry<String, Tensor> named : tensors.entrySet()) {
      Tensor tensor = back.get(named.getKey());
      assertEquals(named.getValue().toString(), tensor.toString());
      assertEquals(named.getValue().data(), tensor.data());
    }
  }

  @Test
  public void aFileMayBeginAnywhereInABuffer() throws Exception {
    byte[] file = Base64.getDecoder().decode(FROM_PYTHON);
    ByteBuffer buffer = ByteBuffer.allocateDirect(file.length + 9);
    buffer.position(3);
    buffer.put(file);
    buffer.flip().position(3);
    assertEquals(2, SafeTensors.read(buffer).size());
  }

  @Test
  public void hostileFilesAreRefused() {
    String good = "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    String[][] cases = {
      {"", "", "at least 8 bytes"},
      {good, "1234567", "do not fit shape"},
      {good, "123456789", "do not fill"},
      {"[", "", "not a JSON object"},
      {"{", "", "not a JSON object"},
      {"[]", "", "not a JSON object"},
      {"{\"w\":3}", "", "entry without"},
      {"{\"w\":{}}", "", "entry without"},
      {good + good, "12345678", "not a JSON object"},
      {good.replace("F32", "F33"), "12345678", "unknown dtype 'F33'"},
      {good.replace("[2]", "[-2]"), "12345678", "entry without"},
      {good.replace("[2]", "[2.0]"), "12345678", "entry without"},
      {good.replace("[2]", "[\"2\"]"), "12345678", "entry without"},
      {good.replace("[2]", "[99999999999999999999]"), "12345678", "entry without"},
      {good.replace("[2]", "[4611686018427387904,4]"), "12345678", "entry without"},
      {good.replace("[2]", "[300000000000000000,300000000000000000]"), "12345678", "do not fit"},
      {good.replace("[2]", "[300000000000000000,0]").replace("0,8", "0,0"), "", "do not fit"},
      {good.replace("[0,8]", "[8,0]"), "12345678", "do not fit"},
      {good.replace("[0,8]", "[1,9]"), "123456789", "begins at 1"},
      {good.replace("[0,8]", "[0,8,9]"), "12345678", "entry without"},
      {good.replace("\"F32\"", "NaN"), "12345678", "not a JSON object"},
      {
        "{" + good.substring(1, good.length() - 1) + "," + good.substring(1),
        "12345678",
        "comes twice"
      },
      {
        good.replace("}}", "},") + good.substring(1).replace("\"w\"", "\"v\""),
        "12345678",
        "begins at 0, not at 8"
      },
      {repeat("[", 100_000), "", "not a JSON object"},
      {"{\"w\":" + repeat("{\"a\":", 5000), "", "not a JSON object"},
    };
    for (String[] each : cases) {
      ByteBuffer file = each[0].isEmpty() ? ByteBuffer.allocate(7) : file(each[0], each[1]);
      TensorFileException error =
          assertThrows(each[0], TensorFileException.class, () -> SafeTensors.read(file));
      assertTrue(error.getMessage(), error.getMessage().contains(each[2]));
    }
  }

  @Test
  public void everyTruncationAndEveryLengthIsRefused() {
    byte[] file = Base64.getDecoder().decode(FROM_PYTHON);
    for (int length = 0; length < file.length; length++) {
      ByteBuffer cut = ByteBuffer.wrap(file, 0, length);
      assertThrows(TensorFileException.class, () -> SafeTensors.read(cut));
    }
    for (long length : new long[] {-1, Long.MIN_VALUE, Long.MAX_VALUE, 1L << 32, file.length}) {
      ByteBuffer odd = ByteBuffer.wrap(file.clone()).order(ByteOrder.LITTLE_ENDIAN);
      odd.putLong(0, length);
      assertThrows(TensorFileException.class, () -> SafeTensors.read(odd));
    }
  }

  @Test
  public void textThatIsNotUtf8IsRefused() {
    byte[] file = Base64.getDecoder().decode(FROM_PYTHON);
    file[10] = (byte) 0xff;
    assertThrows(TensorFileException.class, () -> SafeTensors.read(ByteBuffer.wrap(file)));
  }

  private static ByteBuffer file(String header, String body) {
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    ByteBuffer file = ByteBuffer.allocate(8 + text.length + body.length());
    file.order(ByteOrder.LITTLE_ENDIAN).putLong(text.length).put(text);
    file.put(body.getBytes(StandardCharsets.US_ASCII)).flip();
    return file;
  }

  private static String repeat(String text, int times) {
    StringBuilder all = new StringBuilder();
    for (int at = 0; at < times; at++) {
      all.append(text);
    }
    return all.toString();
  }
}
