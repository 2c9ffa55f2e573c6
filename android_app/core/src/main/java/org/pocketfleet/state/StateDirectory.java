package org.pocketfleet.state;

import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.Closeable;
import java.io.EOFException;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.pocketfleet.Events;
import org.pocketfleet.StrictJson;

/**
 * What a client must still know after it was killed: who it is, what it works on, what it has yet
 * to send. One directory, one client; locked while the object lives.
 *
 * <pre>
 * key.pem       the key that names it to the server (mode 0600), where the device has no better place
 * node.json     the number that the server knows it by
 * task          the message it works on; the message's arrays stay with the server until the reply is safe
 * reply         the finished reply, until the server has all of it
 * session       the server's name for the exchange in which the reply is being sent
 * rounds.jsonl  what it has done lately; see {@code RoundLog}
 * lock          held by the running client
 * </pre>
 *
 * Each file is written whole or not at all, and is on the disk before the step that depends on it.
 */
public final class StateDirectory implements Closeable {
  private final File directory;
  private final DirectoryLock lock;

  /**
   * Opens and locks a directory; makes it if it is not there.
   *
   * @throws StateInUseException another client is using it
   * @throws StateException it cannot be made or written
   */
  public StateDirectory(File directory) throws StateException {
    this.directory = directory;
    try {
      Files.createDirectories(
          directory.toPath(),
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      this.lock = DirectoryLock.take(directory);
    } catch (IOException error) {
      throw new StateException(
          directory + ": cannot be used as a state directory: " + reason(error), error);
    }
  }

  /** Lets another client use the directory. */
  @Override
  public void close() {
    lock.close();
  }

  /** Where it is. */
  public File path() {
    return directory;
  }

  /** Where a directory's private key is, or will be. */
  public static File keyFile(File directory) {
    return new File(directory, "key.pem");
  }

  /**
   * The number that the server last knew this client by; null: none.
   *
   * @throws StateException the file is damaged or cannot be read
   */
  public Long nodeId() throws StateException {
    byte[] content = read("node.json");
    if (content == null) {
      return null;
    }
    try {
      JsonReader json = StrictJson.reader(ByteBuffer.wrap(content));
      json.beginObject();
      Long nodeId = null;
      while (json.hasNext()) {
        if (json.nextName().equals("node-id") && json.peek() == JsonToken.STRING) {
          nodeId = Long.parseUnsignedLong(json.nextString());
        } else {
          json.skipValue();
        }
      }
      json.endObject();
      StrictJson.end(json);
      if (nodeId != null) {
        return nodeId;
      }
    } catch (IOException | IllegalStateException | NumberFormatException error) {
      throw new StateException(file("node.json") + ": damaged; delete it", error);
    }
    throw new StateException(file("node.json") + ": damaged; delete it");
  }

  /**
   * Keeps the number that the server knows this client by.
   *
   * @throws StateException it cannot be written
   */
  public void saveNodeId(long nodeId) throws StateException {
    // As text, because not every reader of JSON has 64-bit integers.
    String json = "{\"node-id\": \"" + Long.toUnsignedString(nodeId) + "\"}";
    write("node.json", json.getBytes(StandardCharsets.US_ASCII), true);
  }

  /**
   * The message that was being worked on, as it was saved; null: none.
   *
   * @throws StateException it cannot be read
   */
  public byte[] task() throws StateException {
    return read("task");
  }

  /**
   * Keeps a message before the server is told that it arrived.
   *
   * @throws StateException it cannot be written
   */
  public void saveTask(byte[] message) throws StateException {
    write("task", message, true);
  }

  /**
   * Drops the message: its reply is safe, or nobody wants one.
   *
   * @throws StateException it cannot be deleted
   */
  public void forgetTask() throws StateException {
    remove("task");
  }

  /**
   * Opens the reply that has yet to be sent; null: none.
   *
   * @throws StateException it cannot be read
   */
  public SavedReply reply() throws StateException {
    try {
      return new SavedReply(file("reply"));
    } catch (NoSuchFileException none) {
      return null;
    } catch (EOFException error) {
      Events.error(null, "event=dropped what=reply reason=%s", error.getMessage());
      forgetReply();
      return null;
    } catch (IOException error) {
      throw new StateException(file("reply") + ": cannot be read: " + reason(error), error);
    }
  }

  /**
   * Keeps a finished reply before its first byte is sent.
   *
   * @param announcement the request that announces it
   * @param objects its objects, in the order in which they are to be sent; written without a copy
   * @throws StateException it cannot be written
   */
  public void saveReply(byte[] announcement, List<? extends SavableObject> objects)
      throws StateException {
    replace(
        "reply",
        true,
        channel -> {
          writeAll(channel, ByteBuffer.wrap(SavedReply.MAGIC));
          writeAll(channel, length(announcement.length));
          writeAll(channel, ByteBuffer.wrap(announcement));
          for (SavableObject object : objects) {
            byte[] id = object.id().getBytes(StandardCharsets.US_ASCII);
            writeAll(channel, ByteBuffer.wrap(id));
            writeAll(channel, length(object.size()));
            for (ByteBuffer part : object.parts()) {
              writeAll(channel, part);
            }
          }
        });
  }

  /**
   * The server's name for the exchange in which the reply was being sent; empty: not known.
   *
   * @throws StateException it cannot be read
   */
  public String session() throws StateException {
    byte[] content = read("session");
    return content == null ? "" : new String(content, StandardCharsets.US_ASCII);
  }

  /**
   * Keeps the server's name for the exchange that is about to begin.
   *
   * @throws StateException it cannot be written
   */
  public void saveSession(String session) throws StateException {
    // Losing it to a power cut costs little, so the disk is not made to hurry.
    write("session", session.getBytes(StandardCharsets.US_ASCII), false);
  }

  /**
   * Drops the reply: the server has it, or does not want it.
   *
   * @throws StateException it cannot be deleted
   */
  public void forgetReply() throws StateException {
    remove("reply");
    remove("session");
  }

  private File file(String name) {
    return new File(directory, name);
  }

  private byte[] read(String name) throws StateException {
    try {
      return Files.readAllBytes(file(name).toPath());
    } catch (NoSuchFileException none) {
      return null;
    } catch (IOException error) {
      throw new StateException(file(name) + ": cannot be read: " + reason(error), error);
    }
  }

  private void write(String name, byte[] content, boolean durable) throws StateException {
    replace(name, durable, channel -> writeAll(channel, ByteBuffer.wrap(content)));
  }

  private void remove(String name) throws StateException {
    try {
      if (Files.deleteIfExists(file(name).toPath())) {
        Events.debug("event=removed what=%s", name);
      }
    } catch (IOException error) {
      throw new StateException(file(name) + ": cannot be deleted: " + reason(error), error);
    }
  }

  /** What fills a file. */
  private interface Content {
    void writeTo(FileChannel channel) throws IOException;
  }

  private void replace(String name, boolean durable, Content content) throws StateException {
    // One client holds the directory, so a fixed temporary name is safe and a kill leaves at most
    // one behind.
    Path temporary = file(name + ".tmp").toPath();
    try {
      try (FileChannel channel =
          FileChannel.open(
              temporary,
              StandardOpenOption.WRITE,
              StandardOpenOption.CREATE,
              StandardOpenOption.TRUNCATE_EXISTING)) {
        content.writeTo(channel);
        if (durable) {
          channel.force(true);
        }
      }
      Files.move(
          temporary,
          file(name).toPath(),
          StandardCopyOption.ATOMIC_MOVE,
          StandardCopyOption.REPLACE_EXISTING);
      if (durable) {
        syncDirectory();
      }
      Events.debug("event=saved what=%s", name);
    } catch (IOException error) {
      try {
        Files.deleteIfExists(temporary);
      } catch (IOException stillThere) {
        error.addSuppressed(stillThere);
      }
      throw new StateException(file(name) + ": cannot be written: " + reason(error), error);
    }
  }

  private void syncDirectory() throws IOException {
    try (FileChannel channel = FileChannel.open(directory.toPath(), StandardOpenOption.READ)) {
      channel.force(true);
    }
  }

  private static void writeAll(FileChannel channel, ByteBuffer bytes) throws IOException {
    while (bytes.hasRemaining()) {
      channel.write(bytes);
    }
  }

  private static ByteBuffer length(int bytes) {
    ByteBuffer length = ByteBuffer.allocate(SavedReply.LENGTH_BYTES);
    length.order(ByteOrder.LITTLE_ENDIAN).putLong(bytes).flip();
    return length;
  }

  /** Why, without the file's name, which the message has already. */
  private static String reason(IOException error) {
    if (error instanceof FileSystemException) {
      String reason = ((FileSystemException) error).getReason();
      return reason == null ? error.getClass().getSimpleName() : reason;
    }
    return error.getMessage();
  }
}
