"""The message types of a request: every field that the service knows, with its type.

One line per message: its name, then `field:type` in snake_case as in the protocol buffers. `*`
marks a repeated field, `{}` a map with text keys. A lower-case type is a scalar or well-known type,
an upper-case one a message or an enum.
"""

from dataclasses import dataclass
from functools import cache

PACKAGE = "google.ai.generativelanguage.v1main"

_MESSAGES = """
BatchGenerateContentRequest batch:GenerateContentBatch model:string
GenerateContentBatch model:string name:string display_name:string input_config:InputConfig
 output:GenerateContentBatchOutput create_time:timestamp end_time:timestamp update_time:timestamp
 batch_stats:BatchStats state:BatchState priority:int64 webhook_config:WebhookConfig
InputConfig file_name:string requests:InlinedRequests
InlinedRequests requests:*InlinedRequest
InlinedRequest request:GenerateContentRequest metadata:struct
GenerateContentBatchOutput responses_file:string inlined_responses:value
BatchStats request_count:int64 successful_request_count:int64 failed_request_count:int64
 pending_request_count:int64
WebhookConfig uris:*string user_metadata:struct
AsyncBatchEmbedContentRequest batch:EmbedContentBatch model:string
EmbedContentBatch model:string name:string display_name:string
 input_config:InputEmbedContentConfig output:EmbedContentBatchOutput create_time:timestamp
 end_time:timestamp update_time:timestamp batch_stats:BatchStats state:BatchState priority:int64
 webhook_config:WebhookConfig
InputEmbedContentConfig file_name:string requests:InlinedEmbedContentRequests
InlinedEmbedContentRequests requests:*InlinedEmbedContentRequest
InlinedEmbedContentRequest request:EmbedContentRequest metadata:struct
EmbedContentBatchOutput responses_file:string inlined_responses:value
CreateFileRequest file:File
File name:string display_name:string mime_type:string size_bytes:int64 create_time:timestamp
 update_time:timestamp expiration_time:timestamp sha256_hash:bytes uri:string download_uri:string
 state:value source:value error:value video_metadata:value
BatchEmbedContentsRequest model:string requests:*EmbedContentRequest
CountTokensRequest model:string contents:*Content generate_content_request:GenerateContentRequest
EmbedContentRequest model:string content:Content task_type:TaskType title:string
 output_dimensionality:int32 embed_content_config:EmbedContentConfig
EmbedContentConfig task_type:TaskType title:string output_dimensionality:int32 auto_truncate:bool
 document_ocr:bool audio_track_extraction:bool
GenerateContentRequest model:string system_instruction:Content contents:*Content tools:*Tool
 tool_config:ToolConfig safety_settings:*SafetySetting generation_config:GenerationConfig
 cached_content:string service_tier:ServiceTier store:bool labels:{}string continuation_token:bytes
Content parts:*Part role:string
Part text:string inline_data:Blob function_call:FunctionCall function_response:FunctionResponse
 file_data:FileData executable_code:ExecutableCode code_execution_result:CodeExecutionResult
 tool_call:ToolCall tool_response:ToolResponse video_metadata:VideoMetadata thought:bool
 thought_signature:bytes part_metadata:struct media_resolution:PartMediaResolution
 audio_transcription:struct media_processing:struct speech_metadata:struct
 document_metadata:struct spreadsheet_metadata:struct audio_metadata:struct
PartMediaResolution level:PartMediaResolutionLevel num_tokens:int32
ToolCall id:string tool_name:string tool_type:ToolType args:struct
ToolResponse id:string tool_type:ToolType response:struct
Blob mime_type:string data:bytes
FunctionCall id:string name:string args:struct
FunctionResponse id:string name:string response:struct parts:*FunctionResponsePart
 will_continue:bool scheduling:FunctionResponseScheduling
FunctionResponsePart inline_data:FunctionResponseBlob file_data:FileData
FunctionResponseBlob mime_type:string data:bytes
FileData mime_type:string file_uri:string
ExecutableCode id:string language:ExecutableCodeLanguage code:string
CodeExecutionResult id:string outcome:CodeExecutionResultOutcome output:string
VideoMetadata start_offset:duration end_offset:duration fps:double
Tool function_declarations:*FunctionDeclaration google_search_retrieval:GoogleSearchRetrieval
 code_execution:CodeExecution google_search:GoogleSearch computer_use:ComputerUse
 url_context:UrlContext file_search:FileSearch google_maps:GoogleMaps mcp_servers:*McpServer
FunctionDeclaration name:string description:string parameters:Schema parameters_json_schema:value
 response:Schema response_json_schema:value behavior:FunctionDeclarationBehavior
Schema type:Type format:string title:string description:string nullable:bool enum:*string
 items:Schema max_items:int64 min_items:int64 properties:{}Schema required:*string
 min_properties:int64 max_properties:int64 minimum:double maximum:double min_length:int64
 max_length:int64 pattern:string example:value any_of:*Schema property_ordering:*string
 default:value
GoogleSearchRetrieval dynamic_retrieval_config:DynamicRetrievalConfig
DynamicRetrievalConfig mode:DynamicRetrievalConfigMode dynamic_threshold:float
CodeExecution
GoogleSearch time_range_filter:Interval search_types:SearchTypes
SearchTypes web_search:WebSearch image_search:ImageSearch
WebSearch
ImageSearch
Interval start_time:timestamp end_time:timestamp
ComputerUse environment:ComputerUseEnvironment excluded_predefined_functions:*string
 enable_prompt_injection_detection:bool disabled_safety_policies:*string
UrlContext
FileSearch file_search_store_names:*string top_k:int32 metadata_filter:string
GoogleMaps enable_widget:bool
McpServer name:string streamable_http_transport:StreamableHttpTransport
StreamableHttpTransport url:string headers:{}string timeout:duration sse_read_timeout:duration
 terminate_on_close:bool
ToolConfig function_calling_config:FunctionCallingConfig retrieval_config:RetrievalConfig
 include_server_side_tool_invocations:bool
FunctionCallingConfig mode:FunctionCallingConfigMode allowed_function_names:*string
RetrievalConfig lat_lng:LatLng language_code:string
LatLng latitude:double longitude:double
SafetySetting category:HarmCategory threshold:HarmBlockThreshold
GenerationConfig candidate_count:int32 stop_sequences:*string max_output_tokens:int32
 temperature:float top_p:float top_k:int32 seed:int32 response_mime_type:string
 response_schema:Schema response_json_schema:value _response_json_schema:value
 presence_penalty:float frequency_penalty:float response_logprobs:bool logprobs:int32
 enable_enhanced_civic_answers:bool enable_affective_dialog:bool response_modalities:*Modality
 speech_config:SpeechConfig thinking_config:ThinkingConfig image_config:ImageConfig
 media_resolution:MediaResolution response_format:ResponseFormatConfig
 audio_transcription_config:AudioTranscriptionConfig translation_config:TranslationConfig
ResponseFormatConfig text:TextResponseFormat audio:AudioResponseFormat image:struct
TextResponseFormat mime_type:TextMimeType schema:value
AudioResponseFormat mime_type:AudioMimeType bit_rate:int32 sample_rate:int32
 delivery:AudioDelivery
AudioTranscriptionConfig language_codes:*string language_auto:struct language_hints:struct
 custom_vocabulary:*string adaptation_phrases:*string word_timestamp:bool diarization:bool
 mode:value source_text:string
TranslationConfig target_language_code:string echo_target_language:bool
SpeechConfig voice_config:VoiceConfig multi_speaker_voice_config:MultiSpeakerVoiceConfig
 language_code:string
VoiceConfig prebuilt_voice_config:PrebuiltVoiceConfig
PrebuiltVoiceConfig voice_name:string
MultiSpeakerVoiceConfig speaker_voice_configs:*SpeakerVoiceConfig
SpeakerVoiceConfig speaker:string voice_config:VoiceConfig
ThinkingConfig include_thoughts:bool thinking_budget:int32 thinking_level:ThinkingLevel
ImageConfig aspect_ratio:string image_size:string
"""

_ENUMS = """
BatchState BATCH_STATE_UNSPECIFIED BATCH_STATE_PENDING BATCH_STATE_RUNNING BATCH_STATE_SUCCEEDED
 BATCH_STATE_FAILED BATCH_STATE_CANCELLED BATCH_STATE_EXPIRED
TaskType TASK_TYPE_UNSPECIFIED RETRIEVAL_QUERY RETRIEVAL_DOCUMENT SEMANTIC_SIMILARITY
 CLASSIFICATION CLUSTERING QUESTION_ANSWERING FACT_VERIFICATION CODE_RETRIEVAL_QUERY
PartMediaResolutionLevel MEDIA_RESOLUTION_UNSPECIFIED MEDIA_RESOLUTION_LOW MEDIA_RESOLUTION_MEDIUM
 MEDIA_RESOLUTION_HIGH MEDIA_RESOLUTION_ULTRA_HIGH
FunctionResponseScheduling SCHEDULING_UNSPECIFIED SILENT WHEN_IDLE INTERRUPT
ExecutableCodeLanguage LANGUAGE_UNSPECIFIED PYTHON
CodeExecutionResultOutcome OUTCOME_UNSPECIFIED OUTCOME_OK OUTCOME_FAILED OUTCOME_DEADLINE_EXCEEDED
FunctionDeclarationBehavior UNSPECIFIED BLOCKING NON_BLOCKING
Type TYPE_UNSPECIFIED STRING NUMBER INTEGER BOOLEAN ARRAY OBJECT NULL
DynamicRetrievalConfigMode MODE_UNSPECIFIED MODE_DYNAMIC
FunctionCallingConfigMode MODE_UNSPECIFIED AUTO ANY NONE VALIDATED
HarmBlockThreshold HARM_BLOCK_THRESHOLD_UNSPECIFIED BLOCK_LOW_AND_ABOVE BLOCK_MEDIUM_AND_ABOVE
 BLOCK_ONLY_HIGH BLOCK_NONE OFF
Modality MODALITY_UNSPECIFIED TEXT IMAGE AUDIO VIDEO
MediaResolution MEDIA_RESOLUTION_UNSPECIFIED MEDIA_RESOLUTION_LOW MEDIA_RESOLUTION_MEDIUM
 MEDIA_RESOLUTION_HIGH
HarmCategory HARM_CATEGORY_UNSPECIFIED HARM_CATEGORY_DEROGATORY HARM_CATEGORY_TOXICITY
 HARM_CATEGORY_VIOLENCE HARM_CATEGORY_SEXUAL HARM_CATEGORY_MEDICAL HARM_CATEGORY_DANGEROUS
 HARM_CATEGORY_HARASSMENT HARM_CATEGORY_HATE_SPEECH HARM_CATEGORY_SEXUALLY_EXPLICIT
 HARM_CATEGORY_DANGEROUS_CONTENT HARM_CATEGORY_CIVIC_INTEGRITY HARM_CATEGORY_JAILBREAK
ComputerUseEnvironment ENVIRONMENT_UNSPECIFIED ENVIRONMENT_BROWSER ENVIRONMENT_MOBILE
 ENVIRONMENT_DESKTOP
ThinkingLevel THINKING_LEVEL_UNSPECIFIED MINIMAL LOW MEDIUM HIGH XHIGH
ServiceTier unspecified standard flex priority
ToolType TOOL_TYPE_UNSPECIFIED GOOGLE_SEARCH_WEB GOOGLE_SEARCH_IMAGE URL_CONTEXT GOOGLE_MAPS
 FILE_SEARCH MEDIA_PROCESSING
TextMimeType MIME_TYPE_UNSPECIFIED APPLICATION_JSON TEXT_PLAIN
AudioMimeType MIME_TYPE_UNSPECIFIED AUDIO_MP3 AUDIO_OGG_OPUS AUDIO_L16 AUDIO_WAV AUDIO_ALAW
 AUDIO_MULAW
AudioDelivery DELIVERY_UNSPECIFIED INLINE URI
"""

ONEOF_PART = frozenset(
    {
        "text",
        "inline_data",
        "function_call",
        "function_response",
        "file_data",
        "executable_code",
        "code_execution_result",
        "tool_call",
        "tool_response",
    }
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name in snake_case, the name of its type, and whether it repeats or is a
    map.
    """

    name: str
    type: str
    repeated: bool
    mapped: bool


def camel(name: str) -> str:
    """Write a snake_case name in lowerCamelCase."""
    head, *rest = name.lstrip("_").split("_")
    return (
        ("_" if name.startswith("_") else "") + head + "".join(word.capitalize() for word in rest)
    )


@cache
def fields_of(message: str) -> dict[str, Field]:
    """Look up a message's fields by either spelling of their names."""
    found: dict[str, Field] = {}
    for declaration in _declared()[message]:
        name, type_ = declaration.split(":")
        field = Field(name, type_.lstrip("*{}"), type_.startswith("*"), type_.startswith("{}"))
        found[name] = found[camel(name)] = field
    return found


@cache
def enum_values(enum: str) -> frozenset[str] | None:
    """Look up an enum's values in upper case (any case is taken); None when it is no enum."""
    values = _read_table(_ENUMS).get(enum)
    return None if values is None else frozenset(value.upper() for value in values)


@cache
def is_message(type_: str) -> bool:
    """Say whether a type is a message."""
    return type_ in _declared()


@cache
def _declared() -> dict[str, list[str]]:
    return _read_table(_MESSAGES)


def _read_table(table: str) -> dict[str, list[str]]:
    joined = table.strip().replace("\n ", " ")
    lines = (line.split() for line in joined.splitlines())
    return {name: declarations for name, *declarations in lines}
