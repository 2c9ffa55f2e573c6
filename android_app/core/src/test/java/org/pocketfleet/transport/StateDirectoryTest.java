package org.pocketfleet.transport;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.state.SavedReply;
import org.pocketfleet.state.StateDirectory;
import org.pocketfleet.state.StateException;
import org.pocketfleet.state.StateInUseException;

public class StateDirectoryTest {
  private static final byte[] ANNOUNCEMENT = {1, 2, 3};

  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  private final List<StoredObject> objects =
      Arrays.asList(
          Trees.object("ArrayChunk", "abc"),
          Trees.object("ArrayChunk", ""),
          Trees.object("ArrayChunk", new byte[100_000]));

  @Test
  public void everythingIsThereAfterARestart() throws Exception {
    File directory = new File(folder.getRoot(), "new/state");
    try (StateDirectory state = new StateDirectory(directory)) {
      assertNull(state.nodeId());
      assertNull(state.task());
      assertNull(state.reply());
      assertEquals("", state.session());
      state.saveNodeId(-1);
      state.saveTask(new byte[] {9});
      state.saveReply(ANNOUNCEMENT, objects);
      state.saveSession("s-1");
    }
    try (StateDirectory state = new StateDirectory(directory)) {
      assertEquals(-1L, (long) state.nodeId());
      assertArrayEquals(new byte[] {9}, state.task());
      assertEquals("s-1", state.session());
      try (SavedReply reply = state.reply()) {
        assertArrayEquals(ANNOUNCEMENT, reply.announcement());
        assertEquals(3, reply.objectIds().size());
        for (StoredObject object : objects) {
          assertEquals(object.size(), reply.size(object.id()));
          assertEquals(ByteBuffer.wrap(Trees.content(object)), reply.read(object.id()));
        }
      }
      state.forgetTask();
      state.forgetReply();
      assertNull(state.task());
      assertNull(state.reply());
      assertEquals("", state.session());
      state.forgetTask();
    }
    assertEquals(
        "{\"node-id\": \"18446744073709551615\"}",
        new String(
            Files.readAllBytes(new File(directory, "node.json").toPath()), StandardCharsets.UTF_8));
  }

  @Test
  public void twoClientsOfOneProcessCannotShareOne() throws Exception {
    String process = new File("/proc/self").getCanonicalFile().getName();
    try (StateDirectory state = new StateDirectory(folder.getRoot())) {
      for (int attempt = 0; attempt < 2; attempt++) {
        StateInUseException error =
            assertThrows(StateInUseException.class, () -> new StateDirectory(folder.getRoot()));
        assertTrue(error.getMessage(), error.getMessage().contains("(process " + process + ")"));
        assertTrue(error.getMessage(), error.getMessage().contains("--state"));
      }
      state.saveTask(new byte[1]);
    }
    new StateDirectory(folder.getRoot()).close();
  }

  @Test
  public void aReplyThatIsNoneIsDropped() throws Exception {
    for (String content : new String[] {"", "garbage", "pocketfleet reply 1\n1234"}) {
      write("reply", content.getBytes(StandardCharsets.US_ASCII));
      try (StateDirectory state = new StateDirectory(folder.getRoot())) {
        assertNull(state.reply());
      }
      assertFalse(new File(folder.getRoot(), "reply").exists());
    }
  }

  @Test
  public void aReplyCutShortAnywhereIsNone() throws Exception {
    try (StateDirectory state = new StateDirectory(folder.getRoot())) {
      state.saveReply(ANNOUNCEMENT, objects.subList(0, 2));
      byte[] whole = Files.readAllBytes(new File(folder.getRoot(), "reply").toPath());
      int ends = 0;
      for (int length = 0; length < whole.length; length++) {
        write("reply", Arrays.copyOf(whole, length));
        try (SavedReply reply = state.reply()) {
          ends += reply == null ? 0 : 1;
        }
      }
      assertEquals("only after the announcement and the first object", 2, ends);
      write("reply", whole);
      Arrays.fill(whole, 20, 28, (byte) 0xff);
      write("reply", whole);
      assertNull(state.reply());
    }
  }

  @Test
  public void aDiskThatTakesNothingLeavesTheOldFile() throws Exception {
    try (StateDirectory state = new StateDirectory(folder.getRoot())) {
      state.saveTask(new byte[] {1});
      // Root may write everywhere, but nobody into a directory.
      assertTrue(new File(folder.getRoot(), "task.tmp/full").mkdirs());
      StateException error =
          assertThrows(StateException.class, () -> state.saveTask(new byte[] {2}));
      String file = new File(folder.getRoot(), "task").toString();
      assertTrue(error.getMessage(), error.getMessage().startsWith(file + ": cannot be written: "));
      assertArrayEquals(new byte[] {1}, state.task());
    }
  }

  @Test
  public void aDamagedNodeNumberIsNamed() throws Exception {
    for (String content :
        new String[] {"", "{", "{}", "[]", "{\"node-id\": {}}", "{\"node-id\": \"x\"}"}) {
      write("node.json", content.getBytes(StandardCharsets.US_ASCII));
      try (StateDirectory state = new StateDirectory(folder.getRoot())) {
        StateException error = assertThrows(StateException.class, state::nodeId);
        assertTrue(error.getMessage(), error.getMessage().contains("node.json: damaged"));
      }
    }
  }

  @Test
  public void aFileIsNoDirectory() throws Exception {
    File file = folder.newFile("file");
    StateException error = assertThrows(StateException.class, () -> new StateDirectory(file));
    assertTrue(
        error.getMessage(), error.getMessage().contains("cannot be used as a state directory"));
  }

  private void write(String name, byte[] content) throws Exception {
    Files.write(new File(folder.getRoot(), name).toPath(), content);
  }
}
